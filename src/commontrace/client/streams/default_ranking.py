"""Default ranking of a search: the best that the server knows for a text, else by similarity (ADR 0059)."""

from commontrace.client.call_options import ServerState
from commontrace.client.errors import CallFailed
from commontrace.v1 import trace_service_pb2

_RANKED = 100
"""The contract's limit of hits in other orders than by similarity."""


def default_ranking(
    request: trace_service_pb2.SearchTracesRequest, server_state: ServerState
) -> trace_service_pb2.Ranking.ValueType:
    """Returns the ranking of a request that names none.

    A text is ranked by the best one, up to the 100 hits that it orders. Similarity alone orders more.
    """
    if request.WhichOneof("query") != "text" or request.limit > _RANKED:
        return trace_service_pb2.RANKING_COSINE
    return trace_service_pb2.RANKING_BEST if server_state.knows_best_ranking else trace_service_pb2.RANKING_HYBRID


def refuses_best_ranking(failure: CallFailed) -> bool:
    """Tells whether an older server refuses RANKING_BEST, which it does not know.

    A text may be ranked BEST, so nothing else of it can violate the field.
    """
    return "ranking" in failure.violations

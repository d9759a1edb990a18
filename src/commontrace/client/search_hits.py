"""Result of a search: its hits and their summary."""

from commontrace.v1 import trace_service_pb2


class SearchHits(list[trace_service_pb2.SearchHit]):
    """Hits in the order of the ranking; `summary` holds the stop reason."""

    summary: trace_service_pb2.SearchSummary

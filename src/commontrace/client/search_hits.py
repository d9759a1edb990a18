"""What a search found."""

from commontrace.v1 import trace_service_pb2


class SearchHits(list[trace_service_pb2.SearchHit]):
    """Hits, most similar first; `summary` tells why no further one follows."""

    summary: trace_service_pb2.SearchSummary

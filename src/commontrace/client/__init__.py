"""The Python client: `async with connect() as client: ...`."""

from commontrace.client.client import Client, connect, vector
from commontrace.client.errors import CallFailed
from commontrace.client.trace_reading import SearchHits
from commontrace.v1.trace_filter_pb2 import TraceFilter

__all__ = ["CallFailed", "Client", "SearchHits", "TraceFilter", "connect", "vector"]

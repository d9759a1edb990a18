"""The Python client: `async with connect() as client: ...`; `commontrace.client.sync` has the same without `async`."""

from commontrace.client.aio.client import Client, connect
from commontrace.client.aio.search_stream import SearchStream
from commontrace.client.aio.watch_stream import WatchStream
from commontrace.client.call_options import CallOptions
from commontrace.client.errors import (
    Aborted,
    AlreadyExists,
    CallFailed,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    TlsFailed,
    Unauthenticated,
    Unavailable,
)
from commontrace.client.search_hits import SearchHits
from commontrace.client.tls import Tls
from commontrace.client.vectors import vector
from commontrace.v1.trace_filter_pb2 import TraceFilter

__all__ = [
    "Aborted",
    "AlreadyExists",
    "CallFailed",
    "CallOptions",
    "Client",
    "DeadlineExceeded",
    "FailedPrecondition",
    "InvalidArgument",
    "NotFound",
    "PermissionDenied",
    "ResourceExhausted",
    "SearchHits",
    "SearchStream",
    "Tls",
    "TlsFailed",
    "TraceFilter",
    "Unauthenticated",
    "Unavailable",
    "WatchStream",
    "connect",
    "vector",
]

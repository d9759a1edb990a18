"""The synchronous Python client: `with connect() as client: ...`; its methods are those of `commontrace.client`."""

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
from commontrace.client.sync.client import Client, connect
from commontrace.client.sync.search_stream import SearchStream
from commontrace.client.sync.watch_stream import WatchStream
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

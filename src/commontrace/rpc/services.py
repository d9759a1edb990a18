"""The services of the contract."""

from commontrace.v1 import tag_service_pb2, trace_service_pb2, vote_service_pb2

FILES = (trace_service_pb2.DESCRIPTOR, vote_service_pb2.DESCRIPTOR, tag_service_pb2.DESCRIPTOR)
"""The descriptors of the files that hold them."""

NAMES = tuple(service.full_name for file in FILES for service in file.services_by_name.values())
"""Their full names."""

_PATH = "/commontrace.v1.TraceService/"

WAITING = (f"{_PATH}ImportTraces", f"{_PATH}WatchTraces")
"""The paths of the streams that wait for their callers, or for news, before they answer."""

LASTING = (*WAITING, f"{_PATH}ExportTraces")
"""The paths of the streams that last for as long as whoever called wants."""

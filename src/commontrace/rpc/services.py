"""Service registry: the services of the contract, their files, and the paths of long-lived streams."""

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from commontrace.v1 import namespace_service_pb2, tag_service_pb2, trace_service_pb2, vote_service_pb2

FILES = (
    trace_service_pb2.DESCRIPTOR,
    vote_service_pb2.DESCRIPTOR,
    tag_service_pb2.DESCRIPTOR,
    namespace_service_pb2.DESCRIPTOR,
)
"""The descriptors of the files that hold the services."""

_SERVICES = tuple(service for file in FILES for service in file.services_by_name.values())

NAMES = tuple(service.full_name for service in _SERVICES)
"""The full names of the services."""

_PATH = "/commontrace.v1.TraceService/"

WAITING = (f"{_PATH}ImportTraces", f"{_PATH}WatchTraces")
"""The paths of the streams that wait for their callers, or for news, before they answer."""

LASTING = (*WAITING, f"{_PATH}ExportTraces")
"""The paths of the streams that last as long as their callers want."""

_RESPONSES = {method.input_type.full_name: method.output_type for service in _SERVICES for method in service.methods}


def response_type(request_type: type[Message]) -> type[Message]:
    """Returns the response message of the one RPC that takes the request message."""
    return GetMessageClass(_RESPONSES[request_type.DESCRIPTOR.full_name])

"""Server reflection as v1 and v1alpha: the library serves v1alpha alone, and both are the same on the wire."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection, reflection_pb2

V1 = "grpc.reflection.v1.ServerReflection"


def add_reflection(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """Registers the reflection services, which describe `services` and themselves."""
    # Without V1, which has no descriptor: clients that list services ask for the descriptor of each.
    names = (*services, reflection.SERVICE_NAME)
    pool: Any = _Pool()
    reflection.enable_server_reflection(names, server, pool)
    servicer = reflection.aio.ReflectionServicer(names, pool)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(V1, {"ServerReflectionInfo": handler}),))


class _Pool:
    """The default descriptor pool, extended by look-ups that `grpcurl describe` and others make by name.

    Protobuf's own pool finds neither methods nor oneofs, nor the values of a nested enum.
    """

    def __init__(self) -> None:
        self._pool: Any = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 - protobuf's name
        """Returns the file that declares the symbol. Raises KeyError."""
        with suppress(KeyError):
            return self._file_of(symbol)
        parent, _, name = symbol.rpartition(".")
        for find, kinds in (
            (self._pool.FindServiceByName, ("methods_by_name",)),
            (self._pool.FindMessageTypeByName, ("oneofs_by_name", "enum_types_by_name", "enum_values_by_name")),
            (self._pool.FindEnumTypeByName, ("values_by_name",)),
        ):
            with suppress(KeyError):
                declared = find(parent)
                if any(name in getattr(declared, kind) for kind in kinds):
                    return declared.file  # type: ignore[no-any-return] # untyped
        raise KeyError(symbol)

    def _file_of(self, symbol: str) -> FileDescriptor:
        return self._pool.FindFileContainingSymbol(symbol)  # type: ignore[no-any-return] # untyped

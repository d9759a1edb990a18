"""Reflection under both of its names; the library serves v1alpha only, and the two are the same on the wire."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection, reflection_pb2

V1 = "grpc.reflection.v1.ServerReflection"


def add_reflection(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """Lets clients ask the server for the contract of `services`."""
    # Not V1: no descriptor describes it, and clients that list services ask for each one's.
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
    """The pool of all descriptors, in which every symbol is found.

    Protobuf's own knows nothing of methods and oneofs, which `grpcurl describe` and others ask for by name, nor of all
    that a nested enum is made of.
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

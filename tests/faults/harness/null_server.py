"""A gRPC server that answers every call with nothing, to compare with. It starts and tells its address as `serve`."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc

from commontrace.rpc.services import WAITING
from tests.contract.calls import METHODS


async def _nothing(_request: bytes, _context: object) -> bytes:
    return b""


async def _stream(_request: object, _context: object) -> AsyncIterator[bytes]:
    yield b""


async def _waiting(_request: object, _context: object) -> AsyncIterator[bytes]:
    yield b""
    await asyncio.Event().wait()


class _Everything(grpc.GenericRpcHandler):
    """Answers calls of every RPC."""

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        if details.method in WAITING:
            return grpc.stream_stream_rpc_method_handler(_waiting)
        if METHODS[details.method].server_streaming:
            return grpc.unary_stream_rpc_method_handler(_stream)
        return grpc.unary_unary_rpc_method_handler(_nothing)


async def _serve() -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Everything(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"commontrace ready on 127.0.0.1:{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve())

"""A gRPC server that knows no contract: whatever it is asked, one handler answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc


@asynccontextmanager
async def answering(handler: grpc.GenericRpcHandler) -> AsyncIterator[str]:
    """Yields the address at which the handler answers."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([handler])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)

"""Sends one and the same answer to every search and does nothing else, in a process of its own.

What it takes is what gRPC itself takes for messages of this size.
"""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import uvloop


async def main(answer: bytes) -> None:
    """Serves until it is ended."""

    async def search(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        yield answer

    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "SearchTraces": grpc.unary_stream_rpc_method_handler(search)
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("commontrace.v1.TraceService", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"floor ready on 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]).read_bytes()))

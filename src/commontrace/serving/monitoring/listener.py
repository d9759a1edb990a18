"""HTTP endpoint of metrics and readiness, in a thread of its own: a scrape takes milliseconds and delays no call."""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from commontrace import addresses
from commontrace.serving.listening import bind_failure
from commontrace.serving.not_ready import NotReady

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_POLL_SECONDS = 0.1


@contextmanager
def serve_metrics(address: str, registry: CollectorRegistry, *, is_ready: Callable[[], bool]) -> Iterator[str]:
    """Serves /metrics and /healthz as long as the block runs, and yields the address. Raises NotReady.

    /healthz answers 200 while the services are ready, else 503, for probes that do not speak gRPC.
    """
    try:
        host, port = addresses.parse(address)
    except ValueError as error:
        # Workers count up from the port of METRICS_ADDRESS, perhaps beyond the last one.
        raise NotReady(f"cannot export metrics on {address}: METRICS_ADDRESS {error}") from error
    metrics = make_wsgi_app(registry)

    def answer(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return metrics(environ, start)  # type: ignore[no-any-return] # the library's is untyped
            case "/healthz":
                status, said = ("200 OK", b"ready\n") if is_ready() else ("503 Service Unavailable", b"not ready\n")
            case _:
                status, said = "404 Not Found", b"/metrics or /healthz\n"
        start(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(said)))])
        return [said]

    try:
        server = make_server(host, port, answer, _server_of(host), handler_class=_Handler)
    except OSError as error:
        raise NotReady(f"cannot export metrics on {address}: {bind_failure(error, port, 'METRICS_ADDRESS')}") from error
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), name="metrics", daemon=True)
    thread.start()
    try:
        yield addresses.format_address(host, server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(WSGIRequestHandler):
    # Seconds after which a silent connection loses its thread.
    timeout = 5.0

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class has the name
        """Logs nothing: there is a scrape every few seconds."""


def _server_of(host: str) -> type[ThreadingWSGIServer]:
    class Server(ThreadingWSGIServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def handle_error(self, request: object, client_address: object) -> None:
            """Logs nothing: a client has left."""

    return Server

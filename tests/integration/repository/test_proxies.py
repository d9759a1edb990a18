"""Every proxy of docs/proxies.md in front of a real server: calls of all kinds, keys, deadlines, silence, absence."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import grpc
import pytest

from commontrace.client import CallFailed, Unavailable, connect
from commontrace.client.tls import Tls
from commontrace.domain import limits
from commontrace.v1 import trace_event_pb2
from commontrace.v1 import trace_import_pb2 as imports_pb
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.contract.imports.imports import a_record, message
from tests.faults.server_process import ServerProcess, run_command
from tests.integration.repository.front_proxies import PROXIES, Proxy
from tests.support.builders import a_contribution
from tests.support.keys import Metadata, bearer
from tests.support.locks import held

pytestmark = pytest.mark.slow
each_proxy = pytest.mark.parametrize("proxy", PROXIES.values(), ids=PROXIES)

LONG = "word " * 9_000
# Longer than the 15 s after which Envoy, and the 10 s after which nginx as it runs here ends what is silent unless told
# otherwise.
SILENT_SECONDS = 22.0
CHECKPOINT_SECONDS = 10.0
SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Served:
    """A server that asks for keys, a key, and the URL of its database."""

    address: str
    key: str
    database_url: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, seeded_database_url: str) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("server")
    settings = {"AUTHENTICATION": "keys", "DATABASE_URL": seeded_database_url}
    assert run_command(place, "users", "create", "ada@example.org", **settings).returncode == 0
    key = run_command(place, "keys", "create", "ada@example.org", **settings).stdout.strip()
    with ServerProcess(place, **settings) as server:
        yield Served(address=server.address, key=key, database_url=seeded_database_url)


@asynccontextmanager
async def through(
    proxy: Proxy, place: Path, port: int, behind: str, block: str | None = None
) -> AsyncIterator[TraceServiceStub]:
    """Calls through the proxy, over TLS, as soon as it listens."""
    with proxy.running(place, port, behind, block) as ca_file:
        credentials = grpc.ssl_channel_credentials(ca_file.read_bytes())
        async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
            await asyncio.wait_for(channel.channel_ready(), SECONDS)
            yield TraceServiceStub(channel)


@each_proxy
async def test_calls_keys_and_reasons(proxy: Proxy, served: Served, tmp_path: Path, unused_tcp_port: int) -> None:
    async with through(proxy, tmp_path, unused_tcp_port, served.address) as traces:
        key = bearer(served.key)
        call = traces.GetServiceInfo(pb.GetServiceInfoRequest(), metadata=(*key, ("x-request-id", "my-call")))
        assert (await call).caller.email == "ada@example.org"
        assert ("x-request-id", "my-call") in [tuple(pair) for pair in await call.trailing_metadata()]
        search = traces.SearchTraces(pb.SearchTracesRequest(text="cache", limit=10, batch_size=1), metadata=key)
        assert [response async for response in search][-1].summary.hit_count == 10
        assert await reason_of(traces.GetServiceInfo(pb.GetServiceInfoRequest())) == "KEY_REQUIRED"
        large = a_contribution(context="w" * (limits.REQUEST_BYTES + 1))
        assert await reason_of(traces.CreateTrace(large, metadata=key)) == "REQUEST_TOO_LARGE"


@each_proxy
async def test_an_import_of_several_megabytes(
    proxy: Proxy, served: Served, tmp_path: Path, unused_tcp_port: int
) -> None:
    messages = several_megabytes()
    async with through(proxy, tmp_path, unused_tcp_port, served.address) as traces:
        responses = await sent(traces, messages, bearer(served.key))
    results = [result for response in responses for result in response.results]
    assert len(results) == 80
    assert not [result for result in results if result.HasField("error")]


async def test_an_import_ends_where_nginx_counts_it(served: Served, tmp_path: Path, unused_tcp_port: int) -> None:
    nginx = PROXIES["nginx"]
    block = nginx.documented.replace("client_max_body_size 0;", "")
    async with through(nginx, tmp_path, unused_tcp_port, served.address, block) as traces:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await sent(traces, several_megabytes(), bearer(served.key))
    # Whichever comes first: the HTTP status 413, or the end of what is being sent.
    assert failure.value.code() in {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}


async def test_a_watch_ends_where_envoy_times_it(served: Served, tmp_path: Path, unused_tcp_port: int) -> None:
    envoy = PROXIES["envoy"]
    block = envoy.documented.replace("timeout: 0s", "")
    async with through(envoy, tmp_path, unused_tcp_port, served.address, block) as traces, asyncio.timeout(30):
        with pytest.raises(grpc.aio.AioRpcError):
            async for _ in traces.WatchTraces(trace_event_pb2.WatchTracesRequest(), metadata=bearer(served.key)):
                pass


@each_proxy
async def test_many_calls_at_a_time(proxy: Proxy, served: Served, tmp_path: Path, unused_tcp_port: int) -> None:
    async with through(proxy, tmp_path, unused_tcp_port, served.address) as traces:
        request, key = pb.GetServiceInfoRequest(), bearer(served.key)
        # More than the server takes on one connection, and no more at a time than it admits of one user.
        for _ in range(10):
            await asyncio.gather(*(traces.GetServiceInfo(request, metadata=key, timeout=SECONDS) for _ in range(50)))


@each_proxy
async def test_the_server_learns_the_deadline(
    proxy: Proxy, served: Served, tmp_path: Path, unused_tcp_port: int
) -> None:
    async with through(proxy, tmp_path, unused_tcp_port, served.address) as traces, asyncio.timeout(SECONDS):
        metadata = (*bearer(served.key), ("grpc-timeout", "500m"))
        async with held(served.database_url, "LOCK TABLE traces"):
            # Without a deadline of the client's own, which would end the call as well.
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await traces.CreateTrace(a_contribution(1), metadata=metadata)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_silence_ends_no_stream(
    served: Served, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    # At the same time, since each only waits.
    async with asyncio.TaskGroup() as together:
        for name, proxy in PROXIES.items():
            place = tmp_path / name
            place.mkdir()
            together.create_task(_silent_through(proxy, place, unused_tcp_port_factory(), served))


async def _silent_through(proxy: Proxy, place: Path, port: int, served: Served) -> None:
    async with through(proxy, place, port, served.address) as traces:
        key = bearer(served.key)
        watch = traces.WatchTraces(trace_event_pb2.WatchTracesRequest(), metadata=key)
        checkpoints = 0

        async def read() -> None:
            nonlocal checkpoints
            async for _ in watch:
                checkpoints += 1

        watching = asyncio.create_task(read())
        import_id = str(uuid4())
        messages = [message([a_record(number)], first=number, import_id=import_id) for number in (1, 2)]
        responses = await sent(traces, messages, key, pause=SILENT_SECONDS)
        assert len(responses) == 2
        assert not watching.done()
        assert checkpoints > SILENT_SECONDS // CHECKPOINT_SECONDS
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


@each_proxy
async def test_a_server_that_is_away_is_unavailable(proxy: Proxy, tmp_path: Path, unused_tcp_port: int) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # nobody else gets the port, and nobody listens on it
        with proxy.running(tmp_path, unused_tcp_port, f"127.0.0.1:{bound.getsockname()[1]}") as ca_file:
            await until_accepting(unused_tcp_port)
            tls = Tls(ca_file=ca_file)
            async with connect(f"127.0.0.1:{unused_tcp_port}", tls=tls, wait_for_ready=False) as client:
                with pytest.raises(Unavailable):
                    await client.service_info()


async def until_accepting(port: int) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def several_megabytes() -> list[imports_pb.ImportTracesRequest]:
    """The messages of an import, 80 traces in all."""
    import_id = str(uuid4())
    records = [a_record(number, context=f"{import_id} {number} {LONG}") for number in range(80)]
    messages = [message(records[at : at + 10], first=at + 1, import_id=import_id) for at in range(0, 80, 10)]
    assert sum(request.ByteSize() for request in messages) > 3 << 20
    return messages


async def reason_of(call: Awaitable[object]) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call
    return CallFailed.from_rpc_error(failure.value).reason


async def sent(
    traces: TraceServiceStub, messages: list[imports_pb.ImportTracesRequest], key: Metadata, *, pause: float = 0.0
) -> list[imports_pb.ImportTracesResponse]:
    """The answers to a stream of messages with a pause between two."""

    async def requests() -> AsyncIterator[imports_pb.ImportTracesRequest]:
        for number, request in enumerate(messages):
            if number:
                await asyncio.sleep(pause)
            yield request

    return [response async for response in traces.ImportTraces(requests(), metadata=key)]

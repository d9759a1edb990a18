"""HAProxy as docs/proxies.md shows it, between strangers and a real server."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from commontrace.client import connect
from commontrace.client.errors import CallFailed
from commontrace.client.tls import Tls
from tests.faults.server_process import ServerProcess, run_command
from tests.integration.repository.front_proxies import PROXIES

pytestmark = pytest.mark.slow

HAPROXY = PROXIES["haproxy"]
DOCUMENTED = HAPROXY.documented
_REFUSAL = "tcp-request connection reject"
_AT_ONCE, _IN_TEN_SECONDS = map(int, re.findall(r"sc0_conn_\w+ gt (\d+)", DOCUMENTED))
_TOTAL = "maxconn 3000"
_STRANGER, _FAST_STRANGER = "127.0.0.2", "127.0.0.3"
_SECONDS = 15.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a server that asks for keys, and a key."""
    place = tmp_path_factory.mktemp("server")
    with ServerProcess(place, AUTHENTICATION="keys", EMBEDDER="lexical") as running:
        assert run_command(place, "users", "create", "ada@example.org").returncode == 0
        yield running.address, run_command(place, "keys", "create", "ada@example.org").stdout.strip()


async def _is_served(port: int, key: str, ca_file: Path, *, seconds: float = _SECONDS) -> bool:
    """Whether a client that comes from 127.0.0.1 is answered."""
    tls = Tls(ca_file=ca_file)
    async with connect(f"127.0.0.1:{port}", key=key, tls=tls, deadline=seconds, wait_for_ready=True) as client:
        try:
            await client.service_info()
        except CallFailed:
            return False
    return True


@asynccontextmanager
async def _connections(port: int, source: str, count: int, *, seconds: float = 1.0) -> AsyncIterator[int]:
    """Opens them and says nothing; yields how many are open that many seconds later."""
    async with AsyncExitStack() as stack:
        reading = []
        for _ in range(count):
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
            except ConnectionError:
                continue
            stack.callback(writer.close)
            reading.append(asyncio.create_task(_until_closed(reader)))
        stayed = (await asyncio.wait(reading, timeout=seconds))[1] if reading else set()
        yield len(stayed)
        for task in stayed:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


async def _until_closed(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        await reader.read()


async def test_one_address_cannot_take_the_connections_of_others(
    server: tuple[str, str], tmp_path: Path, unused_tcp_port: int
) -> None:
    address, key = server
    with HAPROXY.running(tmp_path, unused_tcp_port, address) as ca_file:
        assert await _is_served(unused_tcp_port, key, ca_file)
        async with _connections(unused_tcp_port, _STRANGER, _AT_ONCE + 20) as stayed:
            assert stayed == _AT_ONCE
            assert await _is_served(unused_tcp_port, key, ca_file)
        # Who has hung up has room again.
        await asyncio.sleep(1.0)
        async with _connections(unused_tcp_port, _STRANGER, 5) as stayed:
            assert stayed == 5


async def test_one_address_cannot_begin_handshakes_at_any_rate(
    server: tuple[str, str], tmp_path: Path, unused_tcp_port: int
) -> None:
    address, key = server
    with HAPROXY.running(tmp_path, unused_tcp_port, address) as ca_file:
        assert await _is_served(unused_tcp_port, key, ca_file)
        accepted = 0
        for _ in range(_IN_TEN_SECONDS + 20):
            async with _connections(unused_tcp_port, _FAST_STRANGER, 1, seconds=0.02) as stayed:
                accepted += stayed
        assert _AT_ONCE < accepted <= _IN_TEN_SECONDS
        assert await _is_served(unused_tcp_port, key, ca_file)


@pytest.mark.parametrize("is_limited", [True, False])
async def test_without_the_limit_one_address_locks_others_out(
    server: tuple[str, str], tmp_path: Path, unused_tcp_port: int, *, is_limited: bool
) -> None:
    address, key = server
    configuration = DOCUMENTED.replace(_TOTAL, f"maxconn {_AT_ONCE + 10}")
    if not is_limited:
        configuration = re.sub(rf"^ *{_REFUSAL}.*\n", "", configuration, flags=re.MULTILINE)
    with HAPROXY.running(tmp_path, unused_tcp_port, address, configuration) as ca_file:
        assert await _is_served(unused_tcp_port, key, ca_file)
        async with _connections(unused_tcp_port, _STRANGER, _AT_ONCE + 20):
            assert await _is_served(unused_tcp_port, key, ca_file, seconds=5.0) == is_limited

"""Reload of certificates while calls go on, as renewal tools and Kubernetes replace them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from commontrace.client import Client, Tls, connect
from commontrace.rpc.server_options import OPTIONS
from commontrace.serving import server as lifecycle
from commontrace.serving import tls
from tests.conftest import ServerFactory, server_settings
from tests.contract.serving.tls_files import OURS, SERVER, placed, shown
from tests.support.certificates import Pair, written


@asynccontextmanager
async def busy(address: str, trusting: Tls) -> AsyncIterator[list[str]]:
    """Runs clients that call, stream and watch as long as the block; afterwards, what has arrived."""
    done = asyncio.Event()
    arrived: list[str] = []

    async def ask(client: Client) -> None:
        while not done.is_set():
            await client.service_info()
            arrived.append("answer")

    async def stream(client: Client) -> None:
        while not done.is_set():
            async with client.search_stream("lamp", limit=3, batch_size=1) as hits:
                async for _ in hits:
                    arrived.append("hit")
                    await asyncio.sleep(0.05)

    async def contribute(client: Client) -> None:
        while not done.is_set():
            await client.contribute(f"Lamp {len(arrived)}", "It flickers", "Change the bulb")
            arrived.append("contributed")
            await asyncio.sleep(0.05)

    async def watch(client: Client) -> None:
        async with client.watch() as events:
            watching.set()
            async for _ in events:
                arrived.append("event")

    async with AsyncExitStack() as clients:
        client = [await clients.enter_async_context(connect(address, tls=trusting)) for _ in range(4)]
        watching = asyncio.Event()
        watch_task = asyncio.create_task(watch(client[0]))
        await watching.wait()
        working = [asyncio.create_task(work) for work in (ask(client[1]), stream(client[2]), contribute(client[3]))]
        yield arrived
        done.set()
        # Raises the error of any client.
        await asyncio.gather(*working)
        while arrived.count("event") < arrived.count("contributed"):
            assert not watch_task.done()
            await asyncio.sleep(0.02)
        watch_task.cancel()
        await asyncio.gather(watch_task, return_exceptions=True)


async def until_said(log: Sequence[object], words: str) -> None:
    async with asyncio.timeout(10):
        while words not in str(log):  # noqa: ASYNC110 - the server's event is not ours
            await asyncio.sleep(0.01)


def relinked(live: Path, number: int, pair: Pair) -> None:
    """Puts new files in the place of the old ones as Kubernetes does: their directory is a link, which is moved."""
    written(live.with_name(f"version{number}"), pair)
    fresh = live.with_name("fresh")
    fresh.symlink_to(f"version{number}")
    fresh.replace(live)


def fingerprint(pair: Pair) -> str:
    return sha256(ssl.PEM_cert_to_DER_cert(pair.certificate.decode())).hexdigest()


async def test_certificates_change_and_no_call_fails(
    start_server: ServerFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "RELOAD_SECONDS", 0.02)
    # A maximum connection age of 0.3 s instead of 15 minutes moves calls to new connections amid streams.
    options = [(name, 300 if name == "grpc.max_connection_age_ms" else value) for name, value in OPTIONS]
    monkeypatch.setattr(lifecycle, "OPTIONS", options)
    place = placed(tmp_path)
    live = tmp_path / "live"
    relinked(live, 0, SERVER)
    files = {name: live / file.name for name, file in place.files.items()}
    with capture_logs() as log:
        async with (
            start_server(settings=server_settings(**files)) as server,
            busy(server.address, place.trusting) as arrived,
        ):
            for number in (1, 2):
                renewed = OURS.issue(f"server{number}", days=30 - 10 * number)
                relinked(live, number, renewed)
                await until_said(log, f"CN=server{number}")
                assert (await shown(server.address))[0] == fingerprint(renewed)
                before = len(arrived)
                files["tls_key_file"].write_bytes(SERVER.key)
                await until_said(log, "does not fit the first certificate")
                files["tls_cert_file"].unlink()
                await until_said(log, "No such file or directory")
                await asyncio.sleep(0.4)
                assert (await shown(server.address))[0] == fingerprint(renewed)
                assert len(arrived) > before
                assert [entry["log_level"] for entry in log if "TLS" in entry["event"]].count("error") == 2
                written(live, renewed)
                await until_said(log, "in order again")
                log.clear()
    assert set(arrived) == {"answer", "hit", "contributed", "event"}


async def test_a_certificate_that_expires_soon_is_warned_of(start_server: ServerFactory, tmp_path: Path) -> None:
    place = placed(tmp_path, OURS.issue("server", days=13))
    place.files["tls_key_file"].chmod(0o644)
    with capture_logs() as log:
        async with start_server(settings=server_settings(**place.files)):
            await until_said(log, "expires soon")
    warned = {entry["event"].partition(":")[0] for entry in log if entry["log_level"] == "warning"}
    assert warned == {"every user of this machine may read TLS_KEY_FILE", "the TLS certificate expires soon"}
    assert "PRIVATE" not in str(log)

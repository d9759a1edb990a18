"""TLS and mutual TLS: clients that are admitted, and the errors of those that are not."""

import asyncio
import ssl
from pathlib import Path

import pytest

from commontrace.cli.doctor import checks as doctor_checks
from commontrace.cli.exit_codes import FAILED, TRY_AGAIN
from commontrace.cli.runtime import tls_options
from commontrace.client import Tls, TlsFailed, connect, sync
from commontrace.domain.doctor.findings import Level
from tests.conftest import RunningServer, ServerFactory, server_settings
from tests.contract.serving.tls_files import OTHERS, OURS, SERVER, placed, shown
from tests.faults.server_process import run_command
from tests.support.certificates import written

CLIENT, STRANGER = OURS.issue("ada"), OTHERS.issue("mallory")


async def refused(address: str, wanted: bool | Tls) -> TlsFailed:  # noqa: FBT001 - as `connect` takes it
    async with connect(address, tls=wanted) as client:
        with pytest.raises(TlsFailed) as caught:
            await client.service_info()
    return caught.value


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")  # it is to be refused
async def test_clients_that_are_admitted_and_errors_of_others(start_server: ServerFactory, tmp_path: Path) -> None:
    place = placed(tmp_path)
    async with start_server(settings=server_settings(**place.files)) as server:
        async with connect(server.address, tls=place.trusting) as client:
            assert (await client.service_info()).version

        def ask() -> str:
            with sync.connect(server.address, tls=place.trusting) as client:
                return client.service_info().version

        assert await asyncio.to_thread(ask)
        (tmp_path / "others.pem").write_bytes(OTHERS.certificate)
        for wanted, said in (
            (Tls(ca_file=tmp_path / "others.pem"), "has a certificate of an authority that is not trusted here"),
            (True, "has a certificate of an authority that is not trusted here"),
            (Tls(ca_file=tmp_path / "ca.pem", server_name="other.example"), "has a certificate for other names"),
        ):
            failure = await refused(server.address, wanted)
            assert (str(failure).startswith(f"the server on {server.address} {said}"), failure.is_certain) == (
                True,
                True,
            )
        plaintext = await refused(server.address, wanted=False)
        assert ("it may want TLS" in str(plaintext), plaintext.is_certain) == (True, False)
        by_name = Tls(ca_file=tmp_path / "ca.pem", server_name="server.example")
        async with connect(server.address, tls=by_name) as client:
            assert (await client.service_info()).version
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await shown(server.address, version)
        assert (await shown(server.address))[1] == "h2"


async def test_mutual_tls_admits_clients_whose_certificate_its_authority_has_signed(
    start_server: ServerFactory, tmp_path: Path
) -> None:
    place = placed(tmp_path, client_ca=OURS.certificate)
    async with start_server(settings=server_settings(**place.files)) as server:
        async with connect(server.address, tls=place.showing(CLIENT)) as client:
            assert (await client.service_info()).version
        for wanted in (place.trusting, place.showing(STRANGER)):
            failure = await refused(server.address, wanted)
            assert ("may want a client certificate" in str(failure), failure.is_certain) == (True, False)


async def test_a_server_without_tls_and_one_whose_certificate_has_expired(
    server: RunningServer, start_server: ServerFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = placed(tmp_path)
    assert "does not speak TLS: connect without it" in str(await refused(server.address, place.trusting))
    # A running server goes on with a certificate that expires.
    monkeypatch.setattr("commontrace.serving.certificates._refuse_time", lambda _name, _certificate: None)
    place = placed(tmp_path, OURS.issue("server", days=-1))
    async with start_server(settings=server_settings(**place.files)) as late:
        assert "has a certificate that has expired: renew it there" in str(await refused(late.address, place.trusting))


async def test_commands_over_tls(start_server: ServerFactory, tmp_path: Path) -> None:
    place = placed(tmp_path, client_ca=OURS.certificate)
    shown_by_ada = place.showing(CLIENT)
    variables = {
        "COMMONTRACE_TLS_CA_FILE": str(shown_by_ada.ca_file),
        "COMMONTRACE_TLS_CERT_FILE": str(shown_by_ada.cert_file),
        "COMMONTRACE_TLS_KEY_FILE": str(shown_by_ada.key_file),
    }
    async with start_server(settings=server_settings(**place.files)) as server:

        async def run(*arguments: str, **settings: str) -> tuple[int, str, str]:
            ended = await asyncio.to_thread(
                run_command, tmp_path, *arguments, COMMONTRACE_ADDRESS=server.address, **settings
            )
            return ended.returncode, ended.stdout, ended.stderr

        assert await run("health", **variables) == (0, "SERVING\n", "")
        code, told, said = await run("--tls", "health")
        assert (code, told) == (FAILED, "UNREACHABLE\n")
        assert "has a certificate of an authority that is not trusted here" in said
        code, _, said = await run("tags")
        assert (code, "closes the connection: it may want TLS" in said) == (TRY_AGAIN, True)


async def test_doctor_looks_at_certificates(
    start_server: ServerFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = placed(tmp_path)

    async def look() -> dict[str, tuple[Level, str]]:
        return {found.check: (found.level, found.message) async for found in doctor_checks.run_checks(server.address)}

    monkeypatch.setenv("DATA_DIR", str(tmp_path / "no database"))
    for name, file in place.files.items():
        monkeypatch.setenv(name.upper(), str(file))
    async with start_server(settings=server_settings(**place.files)) as server:
        tls_options.save_tls_options(
            use_tls=True, ca_file=str(place.trusting.ca_file), cert_file=None, key_file=None, server_name=None
        )
        found = await look()
        assert {found[check][0] for check in ("certificate", "server", "health")} == {Level.OK}
        assert found["certificate"][1].startswith("that of CN=server is valid until 20")
        tls_options.save_tls_options(use_tls=False, ca_file=None, cert_file=None, key_file=None, server_name=None)
        written(tmp_path / "server", OURS.issue("server", days=13))
        found = await look()
        assert (found["certificate"][0], found["server"][0]) == (Level.WARNING, Level.PROBLEM)
        assert "it may want TLS" in found["server"][1]
        place.files["tls_key_file"].chmod(0o644)
        place.files["tls_cert_file"].write_bytes(SERVER.certificate)
        assert (await look())["certificate"] == (
            Level.PROBLEM,
            "the key in TLS_KEY_FILE does not fit the first certificate in TLS_CERT_FILE",
        )
        place.files["tls_key_file"].write_bytes(SERVER.key)
        assert (await look())["certificate"] == (Level.WARNING, "every user of this machine may read its key")

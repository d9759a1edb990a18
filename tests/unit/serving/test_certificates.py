"""Checks of TLS files, and the errors of those that make no server certificate."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from commontrace.client import Tls
from commontrace.client.tls_failures import explain_tls_failure
from commontrace.serving.certificates import CertificateUnusable, anybody_reads, check_files
from commontrace.serving.not_ready import NotReady
from commontrace.serving.tls import ServedCertificate
from tests.conftest import server_settings
from tests.support.certificates import Authority, Pair, with_passphrase, written

OURS, OTHERS = Authority("ours"), Authority("others")
SERVER = OURS.issue("server")


def test_a_certificate_says_whose_it_is() -> None:
    chain = SERVER.certificate + OURS.certificate
    certificate = check_files(Pair(certificate=chain, key=SERVER.key).files(client_ca=OURS.certificate))
    assert (certificate.subject, len(certificate.fingerprint), certificate.expires_soon()) == ("CN=server", 64, False)
    assert check_files(OURS.issue("server", days=13).files()).expires_soon()
    assert "PRIVATE" not in repr(SERVER.files())


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (Pair(certificate=b"", key=SERVER.key), "TLS_CERT_FILE does not hold certificates in PEM: name a file with"),
        (Pair(certificate=SERVER.certificate[:-40], key=SERVER.key), "TLS_CERT_FILE does not hold certificates"),
        (Pair(certificate=SERVER.key, key=SERVER.key), "TLS_CERT_FILE does not hold certificates in PEM"),
        (Pair(certificate=SERVER.certificate, key=SERVER.certificate), "TLS_KEY_FILE does not hold a private key"),
        (Pair(certificate=SERVER.certificate, key=SERVER.key[:90]), "TLS_KEY_FILE does not hold a private key in PEM"),
        (Pair(certificate=SERVER.certificate, key=with_passphrase()), "has a passphrase: write it without one"),
        (Pair(certificate=SERVER.certificate, key=OURS.issue("other").key), "does not fit the first certificate"),
        (Pair(certificate=OURS.certificate + SERVER.certificate, key=SERVER.key), "does not fit the first certificate"),
        (OURS.issue("late", days=-1), "the certificate in TLS_CERT_FILE has expired on 20..-..-..: renew it"),
        (OURS.issue("server", key=Ed25519PrivateKey.generate()), "make one of RSA, P-256 or P-384"),
    ],
)
def test_what_is_no_certificate_is_refused(pair: Pair, said: str) -> None:
    with pytest.raises(CertificateUnusable, match=said):
        check_files(pair.files())


def test_what_is_no_authority_of_clients_is_refused() -> None:
    with pytest.raises(CertificateUnusable, match="TLS_CLIENT_CA_FILE does not hold certificates"):
        check_files(SERVER.files(client_ca=b"nonsense"))
    late = OURS.issue("late", days=-1).certificate
    with pytest.raises(CertificateUnusable, match="in TLS_CLIENT_CA_FILE has expired"):
        check_files(SERVER.files(client_ca=late))
    check_files(SERVER.files(client_ca=late + OURS.certificate))


@pytest.mark.parametrize("named", ["tls_cert_file", "tls_key_file"])
def test_a_server_does_not_start_with_files_that_cannot_be_read(tmp_path: Path, named: str) -> None:
    files = written(tmp_path, SERVER) | {named: tmp_path / "absent"}
    with pytest.raises(NotReady, match=f"^{named.upper()}: .*/absent cannot be read .No such file or directory.: name"):
        ServedCertificate.of_settings(server_settings(**files))
    with pytest.raises(NotReady, match="Is a directory"):
        ServedCertificate.of_settings(server_settings(**(files | {named: tmp_path})))


def test_looking_at_files_keeps_no_port(tmp_path: Path) -> None:
    files, before = written(tmp_path, SERVER), listening()
    for _ in range(3):
        assert ServedCertificate.of_settings(server_settings(**files)) is not None
    assert listening() <= before


def listening() -> set[str]:
    """The listening sockets of this process."""
    mine = {str(descriptor.readlink()) for descriptor in Path("/proc/self/fd").iterdir() if descriptor.is_symlink()}
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{fields[9]}]" for fields in lines if fields[3] == "0A"} & mine


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (("tls_cert_file",), "tls_key_file\n.*goes with TLS_CERT_FILE: set both, or none"),
        (("tls_key_file",), "tls_key_file\n.*goes with TLS_CERT_FILE"),
        (("tls_client_ca_file",), "tls_client_ca_file\n.*the server needs its own: set TLS_CERT_FILE"),
    ],
)
def test_settings_that_make_no_whole_are_refused(named: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        server_settings(**dict.fromkeys(named, "file"))


def test_without_files_there_is_no_tls() -> None:
    assert ServedCertificate.of_settings(server_settings()) is None


def test_a_key_that_anybody_reads_is_noticed(tmp_path: Path) -> None:
    key = written(tmp_path, SERVER)["tls_key_file"]
    assert not anybody_reads(key)
    key.chmod(0o640)
    assert not anybody_reads(key)
    key.chmod(0o600 | stat.S_IROTH)
    assert (anybody_reads(key), anybody_reads(tmp_path / "absent")) == (True, False)


@pytest.fixture
def tls(tmp_path: Path) -> Callable[..., Tls]:
    """Makes the TLS settings of a client from files in one directory, by name."""
    written(tmp_path, SERVER)
    (tmp_path / "other.key").write_bytes(OURS.issue("other").key)
    (tmp_path / "closed.key").write_bytes(with_passphrase())
    return lambda **files: Tls(**{name: tmp_path / file for name, file in files.items()})


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"cert_file": "server.pem"}, "cert_file and key_file go together"),
        ({"ca_file": "absent"}, "ca_file .*absent cannot be read: No such file"),
        ({"ca_file": "server.key"}, "ca_file .*server.key cannot be used: certificates in PEM"),
        ({"cert_file": "server.pem", "key_file": "other.key"}, "do not fit each other"),
        ({"cert_file": "server.pem", "key_file": "closed.key"}, "its key, without a passphrase, in PEM is needed"),
        ({"cert_file": "absent", "key_file": "server.key"}, "cannot be read: No such file"),
    ],
)
def test_a_client_refuses_files_that_cannot_be_used(tls: Callable[..., Tls], files: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tls(**files).credentials()


def test_tls_is_wanted_or_not() -> None:
    own = Tls(ca_file="ca.pem")
    assert (Tls.of(wanted=True), Tls.of(wanted=False), Tls.of(own)) == (Tls(), None, own)


def test_other_failures_are_not_about_tls() -> None:
    for details in ("failed to connect to all addresses; last error: Connection refused", "Socket closed", ""):
        assert explain_tls_failure(details, uses_tls=True) is None
    about_time = explain_tls_failure(
        "failed to connect: CERTIFICATE_VERIFY_FAILED: certificate is not yet valid", uses_tls=True
    )
    assert about_time == ("has a certificate that is not valid yet: set the clocks right", True)

"""TLS files: reading and checking the certificate, key and client CA of a server (ADR 0028)."""

import codecs
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from commontrace.settings import Settings

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

EXPIRES_SOON = timedelta(days=14)
"""The time before its expiry in which a certificate is warned of."""

_BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CURVES = {"secp256r1", "secp384r1"}


class CertificateUnusable(Exception):
    """Files that make no server certificate. `said` is the problem, `advice` its remedy."""

    def __init__(self, said: str, advice: str) -> None:
        super().__init__(f"{said}: {advice}")
        self.said = said
        self.advice = advice


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """The contents of the files, in PEM once they are checked. `client_ca` is None without mutual TLS."""

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """The certificate of a server: its subject, SHA-256 fingerprint in hexadecimal digits, and expiry."""

    subject: str
    fingerprint: str
    expires: datetime

    def expires_soon(self) -> bool:
        """Tells whether to renew it."""
        return self.expires - datetime.now(UTC) < EXPIRES_SOON

    def facts(self) -> dict[str, str]:
        """Returns its facts for the log."""
        return {"subject": self.subject, "sha256": self.fingerprint, "expires": f"{self.expires:%Y-%m-%d %H:%M} UTC"}


def read_files(settings: Settings) -> Files:
    """Returns the contents of the files of a server with TLS. Raises CertificateUnusable where one cannot be read."""
    certificate, key = settings.tls_cert_file, settings.tls_key_file
    assert certificate is not None  # noqa: S101 - the settings have both or none
    assert key is not None  # noqa: S101
    client_ca = settings.tls_client_ca_file
    return Files(
        certificate=_bytes("TLS_CERT_FILE", certificate),
        key=_bytes("TLS_KEY_FILE", key),
        client_ca=None if client_ca is None else _bytes("TLS_CLIENT_CA_FILE", client_ca),
    )


def check_files(files: Files) -> Certificate:
    """Returns the certificate of the files. Raises CertificateUnusable where a server cannot serve with them now."""
    certificate = _certificates("TLS_CERT_FILE", files.certificate)[0]
    key = _private_key(files.key)
    if key.public_key() != certificate.public_key():
        raise CertificateUnusable(
            "the key in TLS_KEY_FILE does not fit the first certificate in TLS_CERT_FILE",
            "name two files that were made together, the server's own certificate before those of authorities",
        )
    _refuse_kind(certificate.public_key())
    _refuse_time("TLS_CERT_FILE", certificate)
    if files.client_ca is not None:
        # Of several authorities, the one that is valid longest counts: others may be left from a change.
        authorities = _certificates("TLS_CLIENT_CA_FILE", files.client_ca)
        _refuse_time("TLS_CLIENT_CA_FILE", max(authorities, key=lambda one: one.not_valid_after_utc))
    from cryptography.hazmat.primitives.hashes import SHA256

    return Certificate(
        subject=certificate.subject.rfc4514_string(),
        fingerprint=certificate.fingerprint(SHA256()).hex(),
        expires=certificate.not_valid_after_utc,
    )


def anybody_reads(key_file: Path) -> bool:
    """Tells whether every user of the machine may read the key; False where its mode cannot be read."""
    try:
        return bool(key_file.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _bytes(name: str, path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CertificateUnusable(
            f"{name}: {path} cannot be read ({error.strerror})", "name a file that the server's user may read"
        ) from error
    if content.startswith(_BYTE_ORDER_MARKS):
        raise CertificateUnusable(
            f"{name}: {path} begins with a byte order mark, which gRPC does not take", "save it as plain ASCII"
        )
    return content


def _certificates(name: str, pem: bytes) -> "list[x509.Certificate]":
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CertificateUnusable(
            f"{name} does not hold certificates in PEM", "name a file with -----BEGIN CERTIFICATE-----, complete"
        ) from error


def _private_key(pem: bytes) -> "PrivateKeyTypes":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise CertificateUnusable(
            "the key in TLS_KEY_FILE has a passphrase", "write it without one, readable for the server's user alone"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateUnusable(
            "TLS_KEY_FILE does not hold a private key in PEM", "name a file with -----BEGIN PRIVATE KEY-----, complete"
        ) from error


def _refuse_kind(key: "PublicKeyTypes") -> None:
    """Raises CertificateUnusable for keys that gRPC or its clients do not support, such as Ed25519 and P-521."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if isinstance(key, RSAPublicKey) or (isinstance(key, EllipticCurvePublicKey) and key.curve.name in _CURVES):
        return
    raise CertificateUnusable("gRPC does not take a key of this kind", "make one of RSA, P-256 or P-384")


def _refuse_time(name: str, certificate: "x509.Certificate") -> None:
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        raise CertificateUnusable(
            f"the certificate in {name} has expired on {certificate.not_valid_after_utc:%Y-%m-%d}", "renew it"
        )
    if certificate.not_valid_before_utc > now:
        raise CertificateUnusable(
            f"the certificate in {name} is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on only",
            "wait, or set the clock right",
        )

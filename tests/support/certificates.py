"""Authorities and certificates for tests."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from commontrace.serving.certificates import Files

Key: TypeAlias = EllipticCurvePrivateKey | Ed25519PrivateKey


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes

    def files(self, client_ca: bytes | None = None) -> Files:
        return Files(certificate=self.certificate, key=self.key, client_ca=client_ca)


class Authority:
    """Signs certificates, for 127.0.0.1 unless told otherwise."""

    def __init__(self, name: str) -> None:
        self._key = generate_private_key(SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = _builder(self._name, self._name, self._key, days=30)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = own.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def issue(self, name: str, *, address: str = "127.0.0.1", days: float = 30, key: Key | None = None) -> Pair:
        """Makes a certificate that is valid for so many days more, or has not been for as many."""
        key = key or generate_private_key(SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address)), x509.DNSName(f"{name}.example")])
        built = _builder(subject, self._name, key, days=days).add_extension(names, critical=False)
        certificate = built.sign(self._key, hashes.SHA256())
        return Pair(certificate=certificate.public_bytes(Encoding.PEM), key=pem_of(key, NoEncryption()))


def pem_of(key: Key, encryption: KeySerializationEncryption) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def with_passphrase() -> bytes:
    return pem_of(generate_private_key(SECP256R1()), BestAvailableEncryption(b"secret"))


def written(place: Path, pair: Pair, *, client_ca: bytes | None = None) -> dict[str, Path]:
    """Writes a server's files, as its settings name them."""
    place.mkdir(exist_ok=True)
    found = {"tls_cert_file": place / "server.pem", "tls_key_file": place / "server.key"}
    found["tls_cert_file"].write_bytes(pair.certificate)
    found["tls_key_file"].write_bytes(pair.key)
    found["tls_key_file"].chmod(0o600)
    if client_ca is not None:
        found["tls_client_ca_file"] = place / "clients.pem"
        found["tls_client_ca_file"].write_bytes(client_ca)
    return found


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, *, days: float) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    return builder.not_valid_before(now - timedelta(days=60)).not_valid_after(now + timedelta(days=days))

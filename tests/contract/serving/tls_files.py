"""TLS files of servers and clients, and the certificate that a new connection sees."""

import asyncio
import ssl
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from commontrace.client import Tls
from tests.support.certificates import Authority, Pair, written

OURS, OTHERS = Authority("ours"), Authority("others")
SERVER = OURS.issue("server")


@dataclass(frozen=True, kw_only=True)
class Place:
    """The TLS files of a server, and the settings of clients that trust it."""

    path: Path
    files: dict[str, Path]
    trusting: Tls

    def showing(self, pair: Pair) -> Tls:
        """A client with a certificate."""
        shown = written(self.path / "client", pair)
        return Tls(ca_file=self.trusting.ca_file, cert_file=shown["tls_cert_file"], key_file=shown["tls_key_file"])


def placed(path: Path, pair: Pair = SERVER, *, client_ca: bytes | None = None) -> Place:
    (path / "ca.pem").write_bytes(OURS.certificate)
    return Place(
        path=path,
        files=written(path / "server", pair, client_ca=client_ca),
        trusting=Tls(ca_file=path / "ca.pem"),
    )


async def shown(address: str, version: ssl.TLSVersion | None = None) -> tuple[str, str | None]:
    """Returns the SHA-256 of the certificate that a new connection sees, and the ALPN protocol."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if version is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.maximum_version = version
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    connection = writer.get_extra_info("ssl_object")
    writer.transport.abort()
    return sha256(connection.getpeercert(binary_form=True)).hexdigest(), connection.selected_alpn_protocol()

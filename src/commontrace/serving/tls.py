"""TLS of a server: its certificate comes from files, and new ones are taken while calls go on."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Self, cast

import grpc
import structlog

from commontrace.serving import certificates
from commontrace.serving.certificates import Certificate, CertificateUnusable, Files
from commontrace.serving.not_ready import NotReady
from commontrace.settings import Settings

log = structlog.get_logger()

LOOK_SECONDS = 1.0


class ServedCertificate:
    """The certificate that new connections see. Connections that are there stay as they are."""

    def __init__(self, settings: Settings, files: Files) -> None:
        """Takes what the files hold now. Raises CertificateUnusable."""
        self._settings = settings
        self._certificate = _checked(files)
        self._taken = files
        self._seen: Files | str = files
        # What no handshake has fetched yet: at most one, the newest.
        self._fresh = deque[grpc.ServerCertificateConfiguration](maxlen=1)
        self._problem = ""
        self._warned_on: date | None = None

    @classmethod
    def of_settings(cls, settings: Settings) -> Self | None:
        """Returns what the settings name, None if they name none. Raises NotReady where it cannot be used."""
        if settings.tls_cert_file is None:
            return None
        try:
            return cls(settings, certificates.read_files(settings))
        except CertificateUnusable as error:
            raise NotReady(str(error)) from error

    @property
    def credentials(self) -> grpc.ServerCredentials:
        """What a port is opened with. gRPC fetches what is fresh before each handshake."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._taken),
            # Its types do not know that None stands for no change.
            cast("Callable[[], grpc.ServerCertificateConfiguration]", self._fetch),
            require_client_authentication=self._taken.client_ca is not None,
        )

    async def run_reload(self) -> None:
        """Looks at the files every second, until cancelled."""
        log.info("serving with TLS", mutual=self._taken.client_ca is not None, **self._certificate.facts())
        key_file = self._settings.tls_key_file
        if key_file is not None and await asyncio.to_thread(certificates.anybody_reads, key_file):
            log.warning("every user of this machine may read TLS_KEY_FILE: chmod o-r", file=str(key_file))
        while True:
            await asyncio.to_thread(self._look)
            await asyncio.sleep(LOOK_SECONDS)

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        # From threads of gRPC's, for several connections at once.
        try:
            return self._fresh.popleft()
        except IndexError:
            return None

    def _look(self) -> None:
        found = self._read()
        # What has just changed may change further: it is looked at twice.
        is_settled, self._seen = found == self._seen, found
        if is_settled and (self._problem or found != self._taken):
            self._take(found)
        self._warn_of_expiry()

    def _read(self) -> Files | str:
        """Returns what the files hold, or why they cannot be read."""
        try:
            return certificates.read_files(self._settings)
        except CertificateUnusable as error:
            return str(error)

    def _take(self, found: Files | str) -> None:
        if isinstance(found, str):
            self._complain(found)
            return
        try:
            self._certificate = _checked(found)
        except CertificateUnusable as error:
            self._complain(str(error))
            return
        self._problem, self._warned_on = "", None
        if found == self._taken:
            log.info("the TLS files are in order again", **self._certificate.facts())
            return
        self._taken = found
        self._fresh.append(_configuration(found))
        log.info("new connections see a new TLS certificate", **self._certificate.facts())

    def _complain(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.error("the TLS files cannot be used, the certificate before goes on", why=problem)

    def _warn_of_expiry(self) -> None:
        today = datetime.now(UTC).date()
        if self._certificate.expires_soon() and self._warned_on != today:
            self._warned_on = today
            log.warning("the TLS certificate expires soon: renew it", **self._certificate.facts())


def _checked(files: Files) -> Certificate:
    """Returns the certificate. Raises CertificateUnusable, also where only gRPC finds fault with the files."""
    certificate = certificates.check_files(files)
    # It says so only where a port is opened, and only that it cannot be: for other reasons, too.
    with suppress(OSError), socket.create_server(("127.0.0.1", 0)):
        _offer_to_grpc(files)
    return certificate


def _offer_to_grpc(files: Files) -> None:
    probe = grpc.server(ThreadPoolExecutor(1))
    credentials = grpc.ssl_server_credentials(
        [(files.key, files.certificate)], files.client_ca, require_client_auth=files.client_ca is not None
    )
    try:
        probe.add_secure_port("127.0.0.1:0", credentials)
    except RuntimeError as error:
        raise CertificateUnusable(
            "gRPC does not take what TLS_CERT_FILE, TLS_KEY_FILE or TLS_CLIENT_CA_FILE holds",
            "write the files anew, with nothing in them but PEM: `openssl x509 -in FILE`, `openssl pkey -in FILE`",
        ) from error
    finally:
        # One that was never started would keep its port.
        probe.start()
        probe.stop(None).wait()


def _configuration(files: Files) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(files.key, files.certificate)], root_certificates=files.client_ca
    )

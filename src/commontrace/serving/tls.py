"""TLS of a server: the certificate in its files, reloaded while calls go on (ADR 0028)."""

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

RELOAD_SECONDS = 1.0


class ServedCertificate:
    """The certificate of new connections, reloaded from its files. Existing connections keep theirs.

    Made of files that are no usable certificate, it raises CertificateUnusable.
    """

    def __init__(self, settings: Settings, files: Files) -> None:
        self._settings = settings
        self._certificate = _checked(files)
        self._served = files
        self._seen: Files | str = files
        # The newest configuration, until a handshake fetches it.
        self._fresh = deque[grpc.ServerCertificateConfiguration](maxlen=1)
        self._problem = ""
        self._warned_on: date | None = None

    @classmethod
    def of_settings(cls, settings: Settings) -> Self | None:
        """Returns the certificate of the settings, None without TLS. Raises NotReady where it cannot be used."""
        if settings.tls_cert_file is None:
            return None
        try:
            return cls(settings, certificates.read_files(settings))
        except CertificateUnusable as error:
            raise NotReady(str(error)) from error

    @property
    def credentials(self) -> grpc.ServerCredentials:
        """The credentials of a port. gRPC fetches a new configuration before each handshake."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._served),
            # Its types lack None, which means no change.
            cast("Callable[[], grpc.ServerCertificateConfiguration]", self._fetch),
            require_client_authentication=self._served.client_ca is not None,
        )

    async def run_reload(self) -> None:
        """Reloads the files every second, until cancelled."""
        log.info("serving with TLS", mutual=self._served.client_ca is not None, **self._certificate.facts())
        key_file = self._settings.tls_key_file
        if key_file is not None and await asyncio.to_thread(certificates.anybody_reads, key_file):
            log.warning("every user of this machine may read TLS_KEY_FILE: chmod o-r", file=str(key_file))
        while True:
            await asyncio.to_thread(self._reload)
            await asyncio.sleep(RELOAD_SECONDS)

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        # Called in threads of gRPC, for several connections at once.
        try:
            return self._fresh.popleft()
        except IndexError:
            return None

    def _reload(self) -> None:
        found = self._read()
        # Files that have just changed may be half written: they are used if they are the same a second later.
        is_stable, self._seen = found == self._seen, found
        if is_stable and (self._problem or found != self._served):
            self._serve(found)
        self._warn_of_expiry()

    def _read(self) -> Files | str:
        """Returns the contents of the files, or why they cannot be read."""
        try:
            return certificates.read_files(self._settings)
        except CertificateUnusable as error:
            return str(error)

    def _serve(self, found: Files | str) -> None:
        if isinstance(found, str):
            self._complain(found)
            return
        try:
            self._certificate = _checked(found)
        except CertificateUnusable as error:
            self._complain(str(error))
            return
        self._problem, self._warned_on = "", None
        if found == self._served:
            log.info("the TLS files are in order again", **self._certificate.facts())
            return
        self._served = found
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
    """Returns the certificate of the files. Raises CertificateUnusable, also where gRPC alone rejects them."""
    certificate = certificates.check_files(files)
    # gRPC rejects them when a port is opened, and does not say why: so a port that can be opened is tried.
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
        # A server that was never started would keep its port.
        probe.start()
        probe.stop(None).wait()


def _configuration(files: Files) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(files.key, files.certificate)], root_certificates=files.client_ca
    )

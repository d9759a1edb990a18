"""TLS options of a client: trusted authorities and the client certificate (ADR 0028)."""

import ssl
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import grpc

File = str | PathLike[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """TLS options as PEM files, which are read when a client connects; later changes apply to later clients.

    `ca_file` holds the trusted authorities, by default the public ones of gRPC. `cert_file` and `key_file` (without a
    passphrase) are the client's certificate, for servers that require one. `server_name` is the name to verify in the
    server's certificate, where that does not hold the address.
    """

    ca_file: File | None = None
    cert_file: File | None = None
    key_file: File | None = None
    server_name: str | None = None

    @staticmethod
    def of(wanted: "bool | Tls") -> "Tls | None":
        """Returns the options for an argument `tls=`, None for False."""
        if isinstance(wanted, Tls):
            return wanted
        return Tls() if wanted else None

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files and returns the channel's credentials. Raises ValueError for files that cannot be used."""
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together: give both, or none")
        # Loaded here first, because gRPC does not name the file at fault.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.ca_file is not None:
            try:
                context.load_verify_locations(self.ca_file)
            except OSError as error:
                raise ValueError(f"ca_file {self.ca_file} {_problem(error, 'certificates')}") from error
        if self.cert_file is not None and self.key_file is not None:
            try:
                context.load_cert_chain(self.cert_file, self.key_file, password="")
            except OSError as error:
                what = "a certificate and its key, without a passphrase,"
                raise ValueError(
                    f"cert_file {self.cert_file} or key_file {self.key_file} {_problem(error, what)}"
                ) from error
        return grpc.ssl_channel_credentials(
            root_certificates=_read(self.ca_file),
            private_key=_read(self.key_file),
            certificate_chain=_read(self.cert_file),
        )

    @property
    def channel_options(self) -> list[tuple[str, str | int]]:
        """Channel options that belong to the credentials."""
        return [] if self.server_name is None else [("grpc.ssl_target_name_override", self.server_name)]


def _read(file: File | None) -> bytes | None:
    return None if file is None else Path(file).read_bytes()


def _problem(error: OSError, what: str) -> str:
    if not isinstance(error, ssl.SSLError):
        return f"cannot be read: {error.strerror}"
    if error.reason == "KEY_VALUES_MISMATCH":
        return "do not fit each other"
    return f"cannot be used: {what} in PEM is needed"

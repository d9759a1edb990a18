"""TLS options of `commontrace`, before the command, for all commands that call a server (ADR 0028)."""

from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from commontrace.client import Tls

_File: TypeAlias = str | None

UseTls = Annotated[
    bool,
    typer.Option("--tls", envvar="COMMONTRACE_TLS", help="Speak TLS; so do the options below.", show_envvar=True),
]
CaFile = Annotated[
    _File,
    typer.Option(
        "--ca-file",
        envvar="COMMONTRACE_TLS_CA_FILE",
        metavar="PEM",
        help="Trust servers of these authorities instead of the public ones.",
        show_default=False,
    ),
]
CertFile = Annotated[
    _File,
    typer.Option(
        "--cert-file",
        envvar="COMMONTRACE_TLS_CERT_FILE",
        metavar="PEM",
        help="Your certificate, for servers that want one.",
        show_default=False,
    ),
]
KeyFile = Annotated[
    _File,
    typer.Option(
        "--key-file",
        envvar="COMMONTRACE_TLS_KEY_FILE",
        metavar="PEM",
        help="The key of your certificate.",
        show_default=False,
    ),
]
ServerName = Annotated[
    str | None,
    typer.Option(
        "--server-name",
        envvar="COMMONTRACE_TLS_SERVER_NAME",
        metavar="NAME",
        help="A name in the server's certificate, where the address is none.",
        show_default=False,
    ),
]

_options: ContextVar[tuple[bool, dict[str, str]]] = ContextVar("tls_options", default=(False, {}))


def save_tls_options(
    *,
    use_tls: bool,
    ca_file: str | None,
    cert_file: str | None,
    key_file: str | None,
    server_name: str | None,
) -> None:
    """Keeps the options for the command that follows them."""
    given = {"ca_file": ca_file, "cert_file": cert_file, "key_file": key_file, "server_name": server_name}
    _options.set((use_tls, {name: value for name, value in given.items() if value}))


def tls_from_options() -> "Tls | None":
    """Returns the TLS options that were given, None without any."""
    from commontrace.client import Tls

    use_tls, files = _options.get()
    return Tls(**files) if use_tls or files else None

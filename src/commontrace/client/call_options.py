"""Call options of a client: address, credentials, deadline, and the translation of gRPC errors (ADR 0014)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

import grpc

from commontrace import DEFAULT_ADDRESS, KEY_METADATA, USER_METADATA, addresses
from commontrace.client.errors import CallFailed, DeadlineExceeded
from commontrace.client.tls import Tls

DEFAULT_DEADLINE = 10.0
"""Default deadline of a call, in seconds."""

_MAX_DEADLINE = 86_400.0
# Schemes of gRPC targets, such as dns:///HOST:PORT.
_TARGET_SCHEMES = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "vsock:", "xds:")


@dataclass(kw_only=True, slots=True)
class ServerState:
    """State of the server as seen by a client, shared with the clients made from it by `within`.

    `has_answered` is True once any call was answered. `knows_best_ranking` is False once the server, an older one, has
    refused RANKING_BEST (ADR 0059). `knows_namespaces` is True once the server has answered a call about one.
    """

    has_answered: bool = False
    knows_best_ranking: bool = True
    knows_namespaces: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class CallOptions:
    """Options of all calls of a client. Raises ValueError for values that no call could use.

    `key` is the API key. `user` is the caller's e-mail address, for a server that asks for no key. `deadline` is the
    deadline of each call, in seconds. With `wait_for_ready` True, calls wait for an unreachable server until their
    deadline; with False, they fail at once; with None, they wait only for a server that has answered before. `tls` is
    None for a channel without TLS.
    """

    address: str = DEFAULT_ADDRESS
    user: str | None = None
    key: str | None = field(default=None, repr=False)
    deadline: float = DEFAULT_DEADLINE
    wait_for_ready: bool | None = False
    tls: Tls | None = None
    server_state: ServerState = field(default_factory=ServerState)

    def __post_init__(self) -> None:
        _check_address(self.address)
        if self.user is not None and not (self.user and self.user.isascii() and self.user.isprintable()):
            raise ValueError(f"user must be one plain e-mail address, such as ada@example.org, not {self.user!r}")
        if self.key is not None and not (self.key and self.key.isascii() and self.key.isprintable()):
            raise ValueError("key must be an API key, such as ct_...")
        if not 0 < self.deadline <= _MAX_DEADLINE:
            raise ValueError(
                f"a deadline must be more than 0 and at most {_MAX_DEADLINE:,.0f} seconds, not {self.deadline!r}"
            )

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        """Metadata of a call: the API key and the user, as far as given."""
        user = () if self.user is None else ((USER_METADATA, self.user),)
        return user if self.key is None else ((KEY_METADATA, f"Bearer {self.key}"), *user)

    @property
    def waits_for_server(self) -> bool:
        """True if calls wait for an unreachable server."""
        return self.server_state.has_answered if self.wait_for_ready is None else self.wait_for_ready

    def within(self, seconds: float) -> Self:
        """Returns these options with another deadline, in seconds."""
        return replace(self, deadline=seconds)

    def arguments(self, seconds: float | None = None) -> dict[str, Any]:
        """Returns the keyword arguments of a gRPC call; `seconds` is its timeout, by default the deadline."""
        arguments: dict[str, Any] = {
            "timeout": self.deadline if seconds is None else seconds,
            "metadata": self._metadata,
        }
        if self.waits_for_server:
            arguments["wait_for_ready"] = True
        return arguments

    def arguments_without_deadline(self) -> dict[str, Any]:
        """Returns the keyword arguments of a gRPC call that has no timeout."""
        return self.arguments() | {"timeout": None}

    def silence_failure(self, seconds: float) -> CallFailed:
        """Returns the error for a stream without a deadline that was silent for so many seconds."""
        message = f"nothing came from {self.address} for {seconds:g} s"
        return DeadlineExceeded(message, code=grpc.StatusCode.DEADLINE_EXCEEDED)

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Raises CallFailed for a gRPC error of the block, and records whether the server answered."""
        try:
            yield
        except grpc.RpcError as error:
            failure = CallFailed.from_rpc_error(
                error, address=self.address, deadline=self.deadline, uses_tls=self.tls is not None
            )
            self.server_state.has_answered |= bool(failure.reason)
            raise failure from error
        self.server_state.has_answered = True


def _check_address(address: str) -> None:
    if not address or not address.isprintable() or " " in address:
        raise ValueError(f"address must be HOST:PORT, such as {DEFAULT_ADDRESS}, not {address!r}")
    if address.startswith(("http://", "https://")):
        raise ValueError(f"address must be HOST:PORT, without http://, not {address!r}")
    if "/" in address or address.startswith(_TARGET_SCHEMES):
        return
    try:
        _, port = addresses.parse(address)
    except ValueError as error:
        raise ValueError(f"address {error}, not {address!r}") from None
    if port == 0:
        raise ValueError(f"address must be HOST:PORT with the port that the server listens on, not {address!r}")

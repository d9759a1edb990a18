"""What the calls of a client have in common: for whom, for how long, and with failures translated."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

import grpc

from commontrace import DEFAULT_ADDRESS, KEY_METADATA, USER_METADATA, addresses
from commontrace.client.errors import CallFailed, DeadlineExceeded
from commontrace.client.tls import Tls

DEFAULT_DEADLINE = 10.0
"""What a call may take, in seconds."""

_LONGEST_DEADLINE = 86_400.0
# gRPC's own names of where servers are, such as dns:///HOST:PORT.
_TARGETS = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "vsock:", "xds:")


@dataclass(kw_only=True, slots=True)
class Contact:
    """Whether the server has ever answered; a client and those made from it by `within` share one."""

    made: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class CallOptions:
    """How calls are made. Raises ValueError where they could not be.

    `key` is the API key to call with, `user` the e-mail address of who is calling a server that asks for no key.
    `deadline` is what every call may take, in seconds. With
    `wait_for_ready`, calls wait for a server that is not there, until their deadline; without it, they fail at once;
    None makes them wait for a server that has answered before. `tls` is how the channel speaks TLS,
    None if it does not.
    """

    address: str = DEFAULT_ADDRESS
    user: str | None = None
    key: str | None = field(default=None, repr=False)
    deadline: float = DEFAULT_DEADLINE
    wait_for_ready: bool | None = False
    tls: Tls | None = None
    contact: Contact = field(default_factory=Contact)

    def __post_init__(self) -> None:
        _check_address(self.address)
        if self.user is not None and not (self.user and self.user.isascii() and self.user.isprintable()):
            raise ValueError(f"user must be one plain e-mail address, such as ada@example.org, not {self.user!r}")
        if self.key is not None and not (self.key and self.key.isascii() and self.key.isprintable()):
            raise ValueError("key must be an API key, such as ct_...")
        if not 0 < self.deadline <= _LONGEST_DEADLINE:
            raise ValueError(
                f"a deadline must be more than 0 and at most {_LONGEST_DEADLINE:,.0f} seconds, not {self.deadline!r}"
            )

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        """Who is calling."""
        user = () if self.user is None else ((USER_METADATA, self.user),)
        return user if self.key is None else ((KEY_METADATA, f"Bearer {self.key}"), *user)

    @property
    def waits(self) -> bool:
        """Whether calls wait for a server that is not there."""
        return self.contact.made if self.wait_for_ready is None else self.wait_for_ready

    def within(self, seconds: float) -> Self:
        """Returns the same with another deadline."""
        return replace(self, deadline=seconds)

    def arguments(self, seconds: float | None = None) -> dict[str, Any]:
        """Returns what gRPC takes beside the request; `seconds` are what is left of the deadline."""
        arguments: dict[str, Any] = {
            "timeout": self.deadline if seconds is None else seconds,
            "metadata": self._metadata,
        }
        if self.waits:
            arguments["wait_for_ready"] = True
        return arguments

    def lasting_arguments(self) -> dict[str, Any]:
        """Returns the same for a call that may take any time."""
        return self.arguments() | {"timeout": None}

    def silent(self, seconds: float) -> CallFailed:
        """Returns the failure of a call without a deadline from which nothing came for so long."""
        message = f"nothing came from {self.address} for {seconds:g} s"
        return DeadlineExceeded(message, code=grpc.StatusCode.DEADLINE_EXCEEDED)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Makes CallFailed of what gRPC raises, and remembers whether a server answered."""
        try:
            yield
        except grpc.RpcError as error:
            failure = CallFailed.from_rpc_error(
                error, address=self.address, deadline=self.deadline, uses_tls=self.tls is not None
            )
            self.contact.made |= bool(failure.reason)
            raise failure from error
        self.contact.made = True


def _check_address(address: str) -> None:
    if not address or not address.isprintable() or " " in address:
        raise ValueError(f"address must be HOST:PORT, such as {DEFAULT_ADDRESS}, not {address!r}")
    if address.startswith(("http://", "https://")):
        raise ValueError(f"address must be HOST:PORT, without http://, not {address!r}")
    if "/" in address or address.startswith(_TARGETS):
        return
    try:
        _, port = addresses.parse(address)
    except ValueError as error:
        raise ValueError(f"address {error}, not {address!r}") from None
    if port == 0:
        raise ValueError(f"address must be HOST:PORT with the port that the server listens on, not {address!r}")

"""Which addresses may be served on, and how a port is kept for the processes of one server."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from commontrace import addresses
from commontrace.serving.not_ready import NotReady
from commontrace.serving.port_listener import listener_of
from commontrace.settings import Settings

# Whoever spreads calls asks for health every second or is told at once.
_DRAIN_SECONDS = 2.0
_NOT_ON_THIS_MACHINE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def refuse_open_address(settings: Settings) -> None:
    """Raises NotReady for an address that strangers can reach, unless the settings allow it."""
    if is_open_to_strangers(settings) and not settings.allow_open:
        raise NotReady(
            f"{settings.listen_address} is reachable from outside and nobody is authenticated: set AUTHENTICATION=keys,"
            " or listen on 127.0.0.1, or set ALLOW_OPEN=true to let everybody who reaches the port read and write"
        )


def is_open_to_strangers(settings: Settings) -> bool:
    """Tells whether callers from outside this machine are taken for whom they say they are."""
    return settings.authentication == "open" and not is_loopback(settings.listen_address)


def refuse_taken_address(settings: Settings) -> None:
    """Raises NotReady where another server listens already: better before a Postgres is started for nothing."""
    host, port = addresses.split(settings.listen_address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise _not_listening(settings.listen_address, error, port) from error


def why_not(error: OSError, port: int, setting: str) -> str:
    """Returns why a port cannot be had, by whom, and what helps. `setting` names the variable that holds it."""
    if error.errno == errno.EADDRINUSE:
        return f"{listener_of(port)} has the port: stop it, or set {setting} to another address, port 0 for a free one"
    if error.errno == errno.EACCES:
        return f"this user may not: set {setting} to a port from 1024 on"
    # Python adds the address, which the sentence has.
    return f"{str(error.strerror).partition(' (')[0]}: set {setting} to an address of this machine"


@contextmanager
def reserved(listen_address: str) -> Iterator[str]:
    """Keeps the port as long as the block runs, without listening; yields the address with the port it has.

    Processes of this user that ask for SO_REUSEPORT may listen there, nobody else may. Raises NotReady where
    somebody else has it.
    """
    host, port = addresses.split(listen_address)
    with ExitStack() as reservations:
        try:
            for family, name in _families(host):
                try:
                    reservation = _reserve(family, name, port)
                except OSError as error:
                    if error.errno in _NOT_ON_THIS_MACHINE:
                        continue
                    raise
                reservations.enter_context(reservation)
                port = reservation.getsockname()[1]
        except OSError as error:
            raise _not_listening(listen_address, error, port) from error
        yield f"{listen_address.rpartition(':')[0]}:{port}"


def is_loopback(address: str) -> bool:
    """Tells whether only this machine reaches HOST:PORT."""
    return addresses.is_loopback(addresses.split(address)[0])


def drain_seconds(settings: Settings) -> float:
    """Returns how long a server that is told to stop goes on taking calls."""
    if settings.drain_seconds is not None:
        return settings.drain_seconds
    # Nobody spreads calls over servers of the own machine, and somebody waits for the prompt.
    return 0.0 if is_loopback(settings.listen_address) else _DRAIN_SECONDS


def _not_listening(address: str, error: OSError, port: int) -> NotReady:
    return NotReady(f"cannot listen on {address}: {why_not(error, port, 'LISTEN_ADDRESS')}")


def _families(host: str) -> list[tuple[socket.AddressFamily, str]]:
    """Returns where gRPC listens for a host: on all addresses of a name, and for 0.0.0.0 on those of IPv6, too."""
    if host in {"0.0.0.0", "::"} and socket.has_dualstack_ipv6():  # noqa: S104 - refused elsewhere
        return [(socket.AF_INET6, "::")]
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def _reserve(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    is_wildcard = host == "::"
    # Listening without SO_REUSEPORT is what only one can do: of two who come at once, one fails here.
    with socket.create_server((host, port), family=family, dualstack_ipv6=is_wildcard) as exclusive:
        exclusive.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reservation = socket.socket(family, socket.SOCK_STREAM)
        try:
            if family == socket.AF_INET6:
                reservation.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not is_wildcard))
            # For as long as binding takes, because of what remains of connections to an earlier server.
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reservation.bind(exclusive.getsockname())
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        except BaseException:
            reservation.close()
            raise
        return reservation

"""Listen address: its checks, and the reservation of a port for several processes (ADR 0021)."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from commontrace import addresses
from commontrace.serving.not_ready import NotReady
from commontrace.serving.port_listener import listener_of
from commontrace.settings import Settings

# Load balancers check health every second, or watch it.
_DRAIN_SECONDS = 2.0
_NOT_ON_THIS_MACHINE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def refuse_open_address(settings: Settings) -> None:
    """Raises NotReady for an unauthenticated server on an address beyond this machine, unless the settings allow it."""
    if is_open_to_network(settings) and not settings.allow_open:
        raise NotReady(
            f"{settings.listen_address} is reachable from outside and nobody is authenticated: set AUTHENTICATION=keys,"
            " or listen on 127.0.0.1, or set ALLOW_OPEN=true to let everybody who reaches the port read and write"
        )


def is_open_to_network(settings: Settings) -> bool:
    """Tells whether callers from other machines are believed without a key."""
    return settings.authentication == "open" and not is_loopback(settings.listen_address)


def refuse_taken_address(settings: Settings) -> None:
    """Raises NotReady where another server listens, before a Postgres is started in vain."""
    host, port = addresses.parse(settings.listen_address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise _not_listening(settings.listen_address, error, port) from error


def bind_failure(error: OSError, port: int, setting: str) -> str:
    """Returns why the port cannot be bound and how to help that. `setting` names the variable of the address."""
    if error.errno == errno.EADDRINUSE:
        return f"{listener_of(port)} has the port: stop it, or set {setting} to another address, port 0 for a free one"
    if error.errno == errno.EACCES:
        return f"this user may not: set {setting} to a port from 1024 on"
    # Without the address that Python appends.
    return f"{str(error.strerror).partition(' (')[0]}: set {setting} to an address of this machine"


@contextmanager
def reserve_port(listen_address: str) -> Iterator[str]:
    """Reserves the port as long as the block runs, without listening, and yields the address with that port.

    Processes of this user may listen there with SO_REUSEPORT, others may not. Raises NotReady where another process has
    the port.
    """
    host, port = addresses.parse(listen_address)
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
    """Tells whether HOST:PORT is reachable from this machine alone."""
    return addresses.is_loopback(addresses.parse(address)[0])


def drain_seconds(settings: Settings) -> float:
    """Returns for how long a server takes calls after the signal to stop."""
    if settings.drain_seconds is not None:
        return settings.drain_seconds
    # On loopback there is no load balancer, and a user waits for the prompt.
    return 0.0 if is_loopback(settings.listen_address) else _DRAIN_SECONDS


def _not_listening(address: str, error: OSError, port: int) -> NotReady:
    return NotReady(f"cannot listen on {address}: {bind_failure(error, port, 'LISTEN_ADDRESS')}")


def _families(host: str) -> list[tuple[socket.AddressFamily, str]]:
    """Returns the addresses that gRPC binds for a host: all addresses of a name, and those of IPv6 for 0.0.0.0, too."""
    if host in {"0.0.0.0", "::"} and socket.has_dualstack_ipv6():  # noqa: S104 - refused elsewhere
        return [(socket.AF_INET6, "::")]
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def _reserve(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    is_wildcard = host == "::"
    # One process alone can listen without SO_REUSEPORT: of two servers that start at once, one fails here.
    with socket.create_server((host, port), family=family, dualstack_ipv6=is_wildcard) as exclusive:
        exclusive.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reservation = socket.socket(family, socket.SOCK_STREAM)
        try:
            if family == socket.AF_INET6:
                reservation.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not is_wildcard))
            # While binding: connections of an earlier server may still be in TIME_WAIT.
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reservation.bind(exclusive.getsockname())
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        except BaseException:
            reservation.close()
            raise
        return reservation

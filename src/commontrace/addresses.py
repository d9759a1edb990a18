"""Addresses: parsing HOST:PORT, and hosts that are this machine."""

import ipaddress
import re

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_LABEL_CHARACTERS = 63
_EXAMPLES = "must be HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051"
_SOCKET = re.compile("unix(-abstract)?:")
# The scheme of a gRPC target.
_SCHEME = re.compile(r"(?:dns|ipv4|ipv6):(?://[^/]*/)?")


def parse(address: str) -> tuple[str, int]:
    """Returns host, without brackets, and port. Raises ValueError; its message continues after the setting's name."""
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise ValueError(f"{_EXAMPLES}: the port is a number up to 65535")
    if _is_ipv6(host):
        raise ValueError(f"{_EXAMPLES}: an IPv6 address stands in brackets, as in [{host}]:{port}")
    inner = host[1:-1] if host.startswith("[") and host.endswith("]") else ""
    if not (_is_ipv6(inner) or (_HOST.fullmatch(host) and ".." not in host and _is_short(host))):
        raise ValueError(f"{_EXAMPLES}: the host is a name or an IP address")
    return inner or host, int(port)


def _is_short(host: str) -> bool:
    return len(host) <= 253 and all(len(label) <= _LABEL_CHARACTERS for label in host.split("."))


def format_address(host: str, port: int) -> str:
    """Returns HOST:PORT."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Tells whether a port of the host can be reached from this machine alone."""
    address = _ip(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def is_this_machine(host: str) -> bool:
    """Tells whether calls to the host stay on this machine."""
    address = _ip(host)
    if address is None:
        name = host.lower().removesuffix(".")
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def hosts_of_target(target: str) -> list[str]:
    """Returns the hosts of HOST:PORT or of a gRPC target, which may have several; none for a Unix socket."""
    if _SOCKET.match(target):
        return []
    addresses = _SCHEME.sub("", target, count=1).split(",")
    return [re.sub(r":[0-9]+$", "", address).strip("[]") for address in addresses]


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_ipv6(host: str) -> bool:
    return ":" in host and _ip(host) is not None

"""HTTP proxies of the environment, by gRPC's rules, but never for this machine (ADR 0051)."""

import ipaddress
import os

from commontrace.addresses import hosts_of_target, is_this_machine

# In gRPC's order of precedence; it reads lower-case names only.
_PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_EXCEPTION_VARIABLES = ("no_grpc_proxy", "no_proxy")
# gRPC ignores proxies of other schemes.
_SCHEME = "http://"


def is_local(address: str) -> bool:
    """Returns True if all servers of the address are on this machine."""
    return all(map(is_this_machine, hosts_of_target(address)))


def proxy_hint(address: str) -> str:
    """Returns the end of an error message that names the proxy's variable and its remedy; empty without a proxy."""
    # gRPC uses the first variable that is set, even where it is empty.
    variable = next((name for name in _PROXY_VARIABLES if name in os.environ), None)
    if variable is None or not os.environ[variable].lower().startswith(_SCHEME):
        return ""
    if is_local(address) or all(map(_is_excepted, hosts_of_target(address))):
        return ""
    return f" through the proxy of {variable} (unset it, or put the host into no_proxy, to go without)"


def _is_excepted(host: str) -> bool:
    listed = next((os.environ[name] for name in _EXCEPTION_VARIABLES if name in os.environ), "")
    entries = [entry.strip() for entry in listed.split(",")]
    return any(entry and (host.lower().endswith(entry.lower()) or _is_within(host, entry)) for entry in entries)


def _is_within(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False

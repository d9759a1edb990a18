"""Proxies of the environment, as gRPC reads them: which one stands before a server, and none before this machine."""

import ipaddress
import os

from commontrace.addresses import hosts_of_target, is_this_machine

# In gRPC's order; it knows no other spelling.
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
_EXCEPTIONS = ("no_grpc_proxy", "no_proxy")
# gRPC goes without a proxy that wants another one.
_SCHEME = "http://"


def stays_here(address: str) -> bool:
    """Tells whether all servers of the address are on this machine, which no proxy has anything to do with."""
    return all(map(is_this_machine, hosts_of_target(address)))


def way_to(address: str) -> str:
    """Returns what to add to a failure behind a proxy: the variable and what helps; empty where there is no proxy."""
    # The first one that is set, also where it is empty.
    variable = next((name for name in _PROXIES if name in os.environ), None)
    if variable is None or not os.environ[variable].lower().startswith(_SCHEME):
        return ""
    if stays_here(address) or all(map(_is_excepted, hosts_of_target(address))):
        return ""
    return f" through the proxy of {variable} (unset it, or put the host into no_proxy, to go without)"


def _is_excepted(host: str) -> bool:
    listed = next((os.environ[name] for name in _EXCEPTIONS if name in os.environ), "")
    entries = [entry.strip() for entry in listed.split(",")]
    return any(entry and (host.lower().endswith(entry.lower()) or _is_within(host, entry)) for entry in entries)


def _is_within(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False

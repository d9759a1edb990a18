"""Proxies and certificate authorities of the environment, for HTTP to an embedding endpoint (ADR 0051)."""

import os
import ssl
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from commontrace.addresses import is_this_machine

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def transport_to(base_url: str, limits: httpx2.Limits) -> httpx2.AsyncHTTPTransport | None:
    """Returns a transport without proxies for an endpoint on this machine; None where the environment decides."""
    url = urlsplit(base_url)
    if not is_this_machine(url.hostname or ""):
        return None
    # A context without authorities: reading them takes time, and without TLS nothing needs them.
    unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if url.scheme == "http" else True
    return httpx2.AsyncHTTPTransport(verify=unused, limits=limits)


def proxy_variable(base_url: str) -> str | None:
    """Returns the name of the variable whose proxy the endpoint is reached through, None without a proxy."""
    url = urlsplit(base_url)
    host = url.hostname or ""
    if is_this_machine(host) or proxy_bypass(host):
        return None
    proxies = getproxies()
    kind = next((kind for kind in (url.scheme, "all") if proxies.get(kind)), None)
    return None if kind is None else _spelling(f"{kind}_proxy")


def fault_in_environment(error: Exception) -> str:
    """Returns the variable that keeps a client from being made, and why; no proxy's address, it may hold a password."""
    if isinstance(error, OSError):
        name = next((name for name in _AUTHORITIES if os.environ.get(name)), None)
        where = "this system" if name is None else f"{name}={os.environ[name]}"
        return f"the authorities of {where} cannot be read: {error.strerror or error}"
    proxies = {_spelling(name): getproxies().get(name.removesuffix("_proxy"), "") for name in _PROXIES}
    if isinstance(error, ImportError):
        names = [name for name, address in proxies.items() if address.startswith("socks")]
        return f"{' and '.join(names)} names a SOCKS proxy, which is not supported: name an HTTP proxy, or unset it"
    names = [name for name, address in proxies.items() if address and not _is_proxy(address)]
    return f"{' and '.join(names or proxies)} cannot be understood: correct it, or unset it"


def _is_proxy(address: str) -> bool:
    try:
        httpx2.Proxy(address if "://" in address else f"http://{address}")
    except (ValueError, httpx2.InvalidURL):
        return False
    return True


def _spelling(name: str) -> str:
    return name if os.environ.get(name) else name.upper()

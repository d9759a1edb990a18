"""What gRPC's words mean when two sides do not agree on TLS."""

# Words of gRPC and BoringSSL, the most particular first; what they say about the server, and what helps.
_CERTAIN = {
    "certificate has expired": "has a certificate that has expired: renew it there",
    "certificate is not yet valid": "has a certificate that is not valid yet: set the clocks right",
    "CERTIFICATE_VERIFY_FAILED": (
        "has a certificate of an authority that is not trusted here: give that authority's certificate as the CA file"
    ),
    "Hostname Verification Check failed": (
        "has a certificate for other names: use one of those as the address, or say which as the server name"
    ),
    "WRONG_VERSION_NUMBER": "does not speak TLS: connect without it",
}
_NOT_CONNECTED, _CLOSED = "failed to connect", "Socket closed"


def explanation(details: str, *, uses_tls: bool) -> tuple[str, bool] | None:
    """Returns what is wrong with the server and whether that is certain, None where it seems not to be about TLS.

    `details` is the text of an UNAVAILABLE that gRPC made up itself.
    """
    if _NOT_CONNECTED not in details:
        return None
    for words, meaning in _CERTAIN.items():
        if words in details:
            return meaning, True
    if _CLOSED not in details:
        return None
    if uses_tls:
        return "closes the connection: it may want a client certificate, or another one, or be starting", False
    return "closes the connection: it may want TLS, or be starting", False

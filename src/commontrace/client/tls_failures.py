"""Failures of the TLS handshake, recognised by the error texts of gRPC and BoringSSL."""

# Explanation and remedy by error text, the most specific text first.
_EXPLANATIONS = {
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


def explain_tls_failure(details: str, *, uses_tls: bool) -> tuple[str, bool] | None:
    """Returns the explanation of a failed handshake and whether it is certain, None for a failure that is not of TLS.

    `details` is the text of a status UNAVAILABLE that came from the gRPC library, not from a server.
    """
    if _NOT_CONNECTED not in details:
        return None
    for text, explanation in _EXPLANATIONS.items():
        if text in details:
            return explanation, True
    if _CLOSED not in details:
        return None
    if uses_tls:
        return "closes the connection: it may want a client certificate, or another one, or be starting", False
    return "closes the connection: it may want TLS, or be starting", False

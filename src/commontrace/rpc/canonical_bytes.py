"""Canonical serialization of requests, for comparing them: of a retried write (ADR 0007), of a page token."""

from google.protobuf.message import Message


def canonical_bytes(request: Message, *, without: tuple[str, ...]) -> bytes:
    """Returns the same bytes for requests with the same fields, apart from those `without` and from unknown ones."""
    compared = type(request)()
    compared.CopyFrom(request)
    for field in without:
        compared.ClearField(field)
    compared.DiscardUnknownFields()
    return compared.SerializeToString(deterministic=True)

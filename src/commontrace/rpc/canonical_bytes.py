"""When two requests ask for the same."""

from google.protobuf.message import Message


def canonical_bytes(request: Message, *, without: tuple[str, ...]) -> bytes:
    """Returns the same bytes for requests with the same fields; `without` and unknown fields make no difference."""
    compared = type(request)()
    compared.CopyFrom(request)
    for field in without:
        compared.ClearField(field)
    compared.DiscardUnknownFields()
    return compared.SerializeToString(deterministic=True)

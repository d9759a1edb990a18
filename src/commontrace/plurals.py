"""Plurals in messages."""


def counted(count: int, things: str) -> str:
    """Returns a number with its noun: 1 trace, 2 traces. `things` is a plural that ends in s."""
    return f"{count} {things.removesuffix('s') if count == 1 else things}"

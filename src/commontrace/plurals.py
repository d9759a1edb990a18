"""Numbers of things in words."""


def counted(count: int, things: str) -> str:
    """Returns how many things there are in words: 1 trace, 2 traces. Their plural ends in s."""
    return f"{count} {things.removesuffix('s') if count == 1 else things}"

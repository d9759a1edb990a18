"""How the calls of TagService fail because of what their own fields hold."""

from collections.abc import Iterator

from tests.contract.error_row import Row


def tag_rows() -> Iterator[Row]:
    yield from ()

"""How the calls that read many traces fail because of what their own fields hold."""

from collections.abc import Iterator

from tests.contract.error_row import Row


def list_rows() -> Iterator[Row]:
    yield from ()

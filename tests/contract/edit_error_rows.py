"""How the calls that change a trace fail because of what their own fields hold."""

from collections.abc import Iterator

from tests.contract.error_row import Row


def edit_rows() -> Iterator[Row]:
    yield from ()

"""How the calls of VoteService fail because of what their own fields hold."""

from collections.abc import Iterator

from tests.contract.error_row import Row


def vote_rows() -> Iterator[Row]:
    yield from ()

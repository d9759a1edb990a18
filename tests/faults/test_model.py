"""The check of histories, on histories whose verdict is known."""

import pytest

from tests.faults.harness.journal import Operation, Outcome
from tests.faults.harness.model import ABSENT, FINAL_READER, violations


def write(value: str, began: float, ended: float | None) -> Operation:
    if ended is None:
        return Operation(client=1, register="r", value=value, began=began)
    return Operation(client=1, register="r", value=value, began=began, ended=ended, outcome=Outcome.OK)


def read(value: str, began: float, ended: float, client: int = 1) -> Operation:
    read = Operation(client=client, register="r", value=value, is_write=False, outcome=Outcome.OK)
    read.began, read.ended = began, ended
    return read


def last(value: str) -> Operation:
    return read(value, 100, 101, client=FINAL_READER)


RIGHT = {
    "nothing": [read(ABSENT, 0, 1), last(ABSENT)],
    "one after the other": [write("a", 0, 1), read("a", 2, 3), write("b", 4, 5), last("b")],
    "a read beside a write, before it": [write("a", 0, 1), write("b", 2, 9), read("a", 3, 4, 2), last("b")],
    "a read beside a write, after it": [write("a", 0, 1), write("b", 2, 9), read("b", 3, 4, 2), last("b")],
    "unknown and done": [write("a", 0, 1), write("b", 2, None), read("a", 3, 4), read("b", 5, 6), last("b")],
    "unknown and not done": [write("a", 0, 1), write("b", 2, None), last("a")],
    "unknown and done late": [write("a", 0, 1), write("b", 2, None), read("a", 50, 51), last("b")],
    "there and back": [write("a", 0, 1), write("b", 2, 3), write("a", 4, 5), read("a", 6, 7), last("a")],
}
WRONG = {
    "a lost write": ([write("a", 0, 1), write("b", 2, 3), last("a")], (1, 0, 0)),
    "a lost first write": ([write("a", 0, 1), last(ABSENT)], (1, 0, 0)),
    "a stale read of one's own": ([write("a", 0, 1), write("b", 2, 3), read("a", 4, 5), last("b")], (0, 1, 1)),
    "a stale read of another's": ([write("a", 0, 1), write("b", 2, 3), read("a", 4, 5, 2), last("b")], (0, 1, 0)),
    "new, then old": (
        [write("a", 0, 1), write("b", 2, 9), read("b", 3, 4, 2), read("a", 5, 6, 3), last("b")],
        (0, 1, 0),
    ),
    "an unknown write that comes and goes": (
        [write("a", 0, 1), write("b", 2, None), read("b", 3, 4), last("a")],
        (1, 0, 0),
    ),
    "a repeated older write": (
        [write("a", 0, 1), write("b", 2, 3), read("b", 4, 5), read("a", 6, 7), last("a")],
        (1, 1, 1),
    ),
    "from the future": ([write("a", 0, 1), read("b", 2, 3, 2), write("b", 4, 5), last("b")], (0, 1, 0)),
    "what nobody wrote": ([write("a", 0, 1), read("x", 2, 3), last("a")], (0, 1, 1)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_histories(name: str) -> None:
    found = violations(RIGHT[name])
    assert (found.lost, found.stale) == ([], [])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_histories(name: str) -> None:
    history, counted = WRONG[name]
    found = violations(history)
    assert (len(found.lost), len(found.stale), found.own) == counted
    assert all("expected" in line for line in [*found.lost, *found.stale])

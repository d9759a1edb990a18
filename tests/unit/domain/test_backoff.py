"""How long to wait before something is tried again."""

from commontrace.domain.backoff import pause


def test_it_doubles_within_its_bounds() -> None:
    assert [pause(attempt, least=0.5, most=3.0) for attempt in (1, 2, 3, 4, 5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_it_does_for_any_number_of_attempts() -> None:
    assert pause(100_000, least=0.1, most=2.0) == 2.0

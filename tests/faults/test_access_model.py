"""The model of access, on histories whose verdict is known."""

import time

from commontrace.domain.namespaces.namespace import Role, Visibility
from tests.faults.harness.access_model import WINDOW_SECONDS, AccessModel, Window

ADA, BOB, EVE = "ada", "bob", "eve"
TEAM = "team"


def _model() -> AccessModel:
    model = AccessModel((ADA, BOB, EVE), {EVE: frozenset({"another"})})
    model.add(TEAM, Visibility.PRIVATE, {ADA: Role.WRITER, EVE: Role.OWNER})
    return model


def _window(begin: float, end: float | None = None) -> Window:
    return Window(begin, begin if end is None else end)


def test_what_never_changed_is_without_a_doubt() -> None:
    model, now = _model(), _window(time.monotonic())
    assert model.roles(ADA, TEAM, now) == {Role.WRITER}
    assert model.may(ADA, TEAM, Role.WRITER, now)
    assert model.must(ADA, TEAM, Role.WRITER, now)
    assert not model.may(ADA, TEAM, Role.MODERATOR, now)
    assert model.roles(BOB, TEAM, now) == {None}


def test_a_key_that_is_bound_elsewhere_has_no_role() -> None:
    assert _model().roles(EVE, TEAM, _window(time.monotonic())) == {None}


async def test_before_and_after_a_change_one_role_is_possible_and_for_the_window_both() -> None:
    model, before = _model(), time.monotonic()
    async with model.change(TEAM, member=(ADA, None)):
        during = time.monotonic()
        assert model.roles(ADA, TEAM, _window(during)) == {Role.WRITER, None}
    after = time.monotonic()
    assert model.roles(ADA, TEAM, _window(before - 1)) == {Role.WRITER}
    for begin in (during, after, during + WINDOW_SECONDS):
        window = _window(begin)
        assert model.may(ADA, TEAM, Role.READER, window)
        assert not model.must(ADA, TEAM, Role.READER, window)
    late = _window(after + WINDOW_SECONDS + 0.001)
    assert model.roles(ADA, TEAM, late) == {None}
    # A call that begins before the change may see it.
    assert model.roles(ADA, TEAM, _window(before - 1, after)) == {Role.WRITER, None}
    assert model.roles(BOB, TEAM, _window(after)) == {None}


async def test_the_visibility_grants_a_role_to_everybody() -> None:
    model = _model()
    async with model.change(TEAM, visibility=Visibility.READABLE):
        pass
    late = _window(time.monotonic() + WINDOW_SECONDS + 1)
    assert [model.roles(user, TEAM, late) for user in (ADA, BOB, EVE)] == [{Role.WRITER}, {Role.READER}, {None}]
    async with model.change(TEAM, member=(ADA, None)):
        pass
    later = _window(time.monotonic() + WINDOW_SECONDS + 1)
    assert model.roles(ADA, TEAM, later) == {Role.READER}

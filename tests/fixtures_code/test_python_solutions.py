"""Pydantic validators and asyncio error handling: the modules of the solutions, imported and used."""

import asyncio
import contextlib
from types import ModuleType
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator, model_validator

from .asgi import browse
from .conftest import ImportCode
from .solutions import block

VALIDATORS = block("pydantic-v2-validators-cross-field", "python")
ERRORS = block("asyncio-taskgroup-error-handling", "python")

BOOKING = {"room": "Blue", "starts_at": "2026-01-05T10:00Z", "ends_at": "2026-01-05T11:00Z"}


@pytest.fixture
def booking(import_code: ImportCode) -> Any:
    return import_code(VALIDATORS.code).Booking


def _errors(model: Any, data: object, **options: Any) -> list[tuple[object, str]]:
    with pytest.raises(ValidationError) as failure:
        model.model_validate(data, **options)
    return [(error["loc"], error["type"]) for error in failure.value.errors()]


def test_tags_are_split_and_cleaned_whatever_their_notation(booking: Any) -> None:
    for tags in ("Team, weekly ,team", ["Team ", "weekly"]):
        assert booking.model_validate({**BOOKING, "tags": tags}).tags == ["team", "weekly"]
    assert booking.model_validate(BOOKING).tags == []
    assert _errors(booking, {**BOOKING, "tags": 3}) == [(("tags",), "list_type")]
    assert _errors(booking, {**BOOKING, "tags": "a,,b"}) == [(("tags",), "value_error")]


def test_the_cross_field_rule_runs_only_on_valid_fields(booking: Any) -> None:
    assert _errors(booking, {**BOOKING, "ends_at": BOOKING["starts_at"]}) == [((), "value_error")]
    assert _errors(booking, {**BOOKING, "starts_at": "soon"}) == [(("starts_at",), "datetime_from_date_parsing")]
    assert _errors(booking, {**BOOKING, "starts_at": "2026-01-05T10:00"}) == [(("starts_at",), "timezone_aware")]


def test_the_old_name_is_accepted_and_the_callers_data_left_alone(booking: Any) -> None:
    old = {"room": "Blue", "start": "2026-01-05T10:00Z", "ends_at": "2026-01-05T11:00Z"}
    assert booking.model_validate(old) == booking.model_validate(BOOKING)
    assert "start" in old
    assert _errors(booking, {**BOOKING, "colour": "red"}) == [(("colour",), "extra_forbidden")]
    assert _errors(booking, ["not", "an", "object"]) == [((), "model_type")]


def test_rooms_come_from_the_context(booking: Any) -> None:
    rooms = {"rooms": {"Blue", "Green"}}
    assert booking.model_validate(BOOKING, context=rooms).room == "Blue"
    assert _errors(booking, {**BOOKING, "room": "Red"}, context=rooms) == [(("room",), "value_error")]


async def test_over_http_a_broken_rule_is_a_422_on_the_body(booking: Any) -> None:
    app = FastAPI()

    @app.post("/bookings")
    async def book(body: booking) -> str:
        return str(body.room)

    async with browse(app) as client:
        assert (await client.post("/bookings", json=BOOKING)).json() == "Blue"
        refused = await client.post("/bookings", json={**BOOKING, "ends_at": "2026-01-05T09:00Z"})
    assert refused.status_code == 422
    assert [error["loc"] for error in refused.json()["detail"]] == [["body"]]


def test_what_the_text_warns_of_is_true() -> None:
    class Mechanical(BaseModel):
        start: int
        end: int = -1
        tags: list[str] = []

        @field_validator("end")
        @classmethod
        def check(cls, value: int, info: ValidationInfo) -> int:
            if value <= info.data["start"]:
                raise ValueError("too early")
            return value

        @field_validator("tags", mode="before")
        @classmethod
        def split(cls, value: Any) -> Any:
            return value.split(",")

    with pytest.raises(KeyError, match="start"):
        Mechanical.model_validate({"start": "x", "end": 2})
    with pytest.raises(AttributeError, match="'int' object has no attribute 'split'"):
        Mechanical.model_validate({"start": 1, "end": 2, "tags": 3})
    assert Mechanical.model_validate({"start": 1}).end == -1

    class Forgetful(BaseModel):
        x: int

        @field_validator("x")
        @classmethod
        def check(cls, value: int) -> None:
            """Returns nothing."""

    assert Forgetful(x=1).x is None

    class Recursive(BaseModel):
        model_config = ConfigDict(validate_assignment=True)
        x: int

        @model_validator(mode="after")
        def double(self) -> "Recursive":
            self.x = self.x * 2
            return self

    with pytest.raises(RecursionError):
        Recursive(x=1)


@pytest.fixture
def errors(import_code: ImportCode) -> ModuleType:
    return import_code(ERRORS.code)


class Upstream:
    """Answers each key after its delay, or raises what it is told to; knows who was cut off."""

    def __init__(self, answers: dict[str, tuple[float, object]]) -> None:
        self.answers, self.cancelled = answers, set[str]()

    async def __call__(self, key: str) -> object:
        delay, answer = self.answers[key]
        try:
            await asyncio.sleep(delay)
        except asyncio.CancelledError:
            self.cancelled.add(key)
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_all_or_nothing_answers_in_order(errors: ModuleType) -> None:
    upstream = Upstream({"a": (0.02, 1), "b": (0, 2)})
    assert await errors.fetch_all(upstream, ["a", "b"], seconds=1) == [1, 2]


async def test_the_first_failure_cancels_the_siblings(errors: ModuleType) -> None:
    upstream = Upstream({"a": (0, ConnectionError("reset")), "b": (5, 2)})
    with pytest.raises(errors.UpstreamError, match="1 of 2 calls failed") as failure:
        await errors.fetch_all(upstream, ["a", "b"], seconds=1)
    assert upstream.cancelled == {"b"}
    assert isinstance(failure.value.__cause__, ExceptionGroup)


async def test_time_running_out_is_one_plain_error(errors: ModuleType) -> None:
    upstream = Upstream({"a": (5, 1), "b": (5, 2)})
    with pytest.raises(errors.UpstreamError, match=r"no answer within 0\.02 s"):
        await errors.fetch_all(upstream, ["a", "b"], seconds=0.02)
    assert upstream.cancelled == {"a", "b"}


async def test_a_bug_among_the_failures_stays_visible(errors: ModuleType) -> None:
    upstream = Upstream({"a": (0, ConnectionError("reset")), "b": (0, KeyError("bug"))})
    with pytest.raises(ExceptionGroup) as failure:
        await errors.fetch_all(upstream, ["a", "b"], seconds=1)
    assert failure.group_contains(KeyError)


async def test_a_result_per_item_keeps_the_good_answers(errors: ModuleType) -> None:
    reset = ConnectionError("reset")
    upstream = Upstream({"a": (0, reset), "b": (0.02, 2), "c": (0, TimeoutError("slow"))})
    answers = await errors.fetch_each(upstream, ["a", "b", "c"])
    assert (answers["a"], answers["b"]) == (reset, 2)
    assert isinstance(answers["c"], TimeoutError)


async def test_retry_tries_again_and_raises_the_last_error_as_it_is(errors: ModuleType) -> None:
    outcomes: list[object] = [ConnectionError("1"), ConnectionError("2"), "answer"]

    async def call() -> object:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert await errors.retry(call, delay=0.001) == "answer"
    outcomes += [ConnectionError("1"), ConnectionError("2"), ConnectionError("3"), ValueError("bug")]
    with pytest.raises(ConnectionError, match="3"):
        await errors.retry(call, delay=0.001)
    with pytest.raises(ValueError, match="bug"):
        await errors.retry(call, delay=0.001)
    assert outcomes == []


async def test_the_worker_survives_failing_jobs_and_stops_when_cancelled(
    errors: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    queue: asyncio.Queue[str] = asyncio.Queue()
    for job in ("bad", "good"):
        queue.put_nowait(job)
    done: list[str] = []

    async def handle(job: str) -> None:
        if job == "bad":
            raise ValueError(job)
        done.append(job)

    worker = asyncio.create_task(errors.work(queue, handle))
    await queue.join()
    assert (done, caplog.messages) == (["good"], ["job 'bad' failed"])
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker


async def test_what_the_text_says_of_gather_groups_and_cancellation_is_true() -> None:
    upstream = Upstream({"a": (0, ConnectionError("reset")), "b": (0.02, 2)})
    sibling = asyncio.create_task(upstream("b"))
    with pytest.raises(ConnectionError):
        await asyncio.gather(upstream("a"), sibling)
    assert not sibling.done()
    assert await sibling == 2

    with pytest.raises(ExceptionGroup, match="unhandled errors in a TaskGroup") as failure:
        async with asyncio.TaskGroup() as group:
            group.create_task(upstream("a"))
    with pytest.raises(ExceptionGroup, match=r"^ \(1 sub-exception\)$") as translated:
        try:
            raise failure.value
        except* ConnectionError:
            raise ValueError("translated") from None
    assert translated.group_contains(ValueError)

    async with asyncio.timeout(0.01) as limit:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(5)
    assert limit.expired()

"""Pydantic validators: the model of the solution, called directly and behind FastAPI."""

from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator, model_validator

from tests.fixtures_code.asgi import browse
from tests.fixtures_code.conftest import ImportCode
from tests.fixtures_code.solutions import block

VALIDATORS = block("pydantic-v2-validators-cross-field", "python")

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

"""Kept connections: the last one used is the next, and what a period goes by without is given back."""

import asyncio
from typing import Any

import pytest

from commontrace.storage import kept_connections
from commontrace.storage.kept_connections import KeptConnections
from tests.faults.harness.load import until


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.setattr(kept_connections, "_PERIOD_SECONDS", 0.02)
    return []


def kept_in(released: list[Any]) -> KeptConnections:
    async def release(connection: Any) -> None:
        released.append(connection)

    return KeptConnections(release)


async def test_the_last_one_put_is_taken_first(released: list[Any]) -> None:
    kept: Any = kept_in(released)
    kept.put("first")
    kept.put("second")
    assert (kept.take(), kept.take(), kept.take()) == ("second", "first", None)


async def test_what_is_not_used_is_given_back_and_the_rest_is_kept(released: list[Any]) -> None:
    kept: Any = kept_in(released)
    kept.put("unused")
    kept.put("used")
    async with asyncio.timeout(10):
        while not released:
            kept.put(kept.take())
            await asyncio.sleep(0.001)
    assert released == ["unused"]
    assert kept.take() == "used"


async def test_without_use_all_are_given_back(released: list[Any]) -> None:
    kept: Any = kept_in(released)
    kept.put("first")
    kept.put("second")
    await until(lambda: len(released) == 2, seconds=10)
    assert kept.take() is None


async def test_all_are_given_back_at_once_on_request(released: list[Any]) -> None:
    kept: Any = kept_in(released)
    kept.put("first")
    await kept.release_all()
    assert released == ["first"]
    assert kept.take() is None

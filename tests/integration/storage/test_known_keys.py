"""Freshness of cached keys: late and outdated answers of the database are not cached."""

import asyncio

import pytest

from commontrace.core.keys import cache as key_cache
from commontrace.storage.database import Database
from tests.support.keys import a_key
from tests.support.locks import held, until_waiting


async def test_an_answer_that_comes_late_is_not_taken_for_a_fresh_one(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_cache, "FRESH_SECONDS", 0.5)
    key = await a_key(database, "ada@example.org")
    known = key_cache.KeyCache(database)
    assert (await known.load(key.text)).email == "ada@example.org"
    assert known.get(key.text) is not None
    known.invalidate_all()
    async with held(database_url, "LOCK TABLE api_keys"):
        asking = asyncio.create_task(known.load(key.text))
        await asyncio.sleep(0.5)
    assert (await asking).email == "ada@example.org"
    assert known.get(key.text) is None


async def test_those_who_come_after_a_change_do_not_take_an_answer_from_before(
    database: Database, database_url: str
) -> None:
    key = await a_key(database, "ada@example.org")
    known = key_cache.KeyCache(database)
    async with held(database_url, "LOCK TABLE api_keys"):
        before = [asyncio.create_task(known.load(key.text)) for _ in range(2)]
        await until_waiting(database_url)
        known.invalidate(key.id)
        after = asyncio.create_task(known.load(key.text))
        await asyncio.sleep(0.1)
        for asking in before:
            asking.cancel()
    await asyncio.gather(*before, return_exceptions=True)
    assert (await after).email == "ada@example.org"
    assert known.get(key.text) is not None

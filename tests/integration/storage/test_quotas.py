"""Quotas over several servers of one database."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from commontrace.core.cleanup import delete_expired_quotas
from commontrace.core.keys.quotas import Quotas
from commontrace.domain.errors import DatabaseUnavailable, QuotaExceeded
from commontrace.domain.keys.quotas import READS, WRITES
from commontrace.storage.database import Database
from tests.conftest import administer, query

ADA, BOB = "ada@example.org", "bob@example.org"
_MINUTE = "SELECT date_trunc('minute', now())"


async def admitted(url: str, quotas: Sequence[Quotas], emails: Sequence[str], count: int) -> int:
    """How many of `count` reads at once were admitted, spread over servers and users, all in one minute."""

    async def is_admitted(number: int) -> bool:
        try:
            await quotas[number % len(quotas)].spend(emails[number % len(emails)], READS)
        except QuotaExceeded:
            return False
        return True

    before = await query(url, _MINUTE)
    found = sum(await asyncio.gather(*map(is_admitted, range(count))))
    if await query(url, _MINUTE) == before:
        return found
    # Ours is the next minute from its beginning.
    return await admitted(url, quotas, [f"again-{email}" for email in emails], count)


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_servers_together_admit_the_quota_and_no_more(database: Database, database_url: str, limit: int) -> None:
    quotas = [Quotas(database, {READS: limit}) for _ in range(2)]
    assert await admitted(database_url, quotas, [ADA], 5 * limit) == limit
    # Counted apart, as by two users, they would admit twice as much.
    assert await admitted(database_url, quotas, ["carl@example.org", BOB], 5 * limit) == 2 * limit


async def test_cancelled_calls_take_nothing_from_others(database: Database, database_url: str) -> None:
    quotas, moments = Quotas(database, {READS: 50}), random.Random(7)  # noqa: S311 - any moments will do

    async def spend(number: int) -> str:
        try:
            async with asyncio.timeout(moments.uniform(0, 0.01) if number % 2 else None):
                await quotas.spend(ADA, READS)
        except (TimeoutError, QuotaExceeded) as error:
            return type(error).__name__
        return "admitted"

    counted = Counter(await asyncio.gather(*map(spend, range(300))))
    [row] = await query(database_url, "SELECT max(used) FROM quota_windows")
    assert counted["admitted"] <= row[0] <= 50
    assert counted["QuotaExceeded"]


async def test_leases_grow_with_use(database: Database, database_url: str) -> None:
    quotas = Quotas(database, {READS: 10_000})
    for _ in range(500):
        await quotas.spend(ADA, READS)
    [row] = await query(database_url, "SELECT used, granted FROM quota_windows")
    assert 500 <= row.used <= 1200
    assert row.granted >= 128


async def test_the_next_minute_brings_as_much_again(database: Database, database_url: str) -> None:
    assert await admitted(database_url, [Quotas(database, {READS: 3})], [ADA], 9) == 3
    await administer(database_url, "UPDATE quota_windows SET started_at = started_at - interval '1 minute'")
    assert await admitted(database_url, [Quotas(database, {READS: 3})], [ADA], 9) == 3


async def test_what_takes_more_than_one_is_had_whole_or_not_at_all(database: Database) -> None:
    quotas = Quotas(database, {WRITES: 10})
    await quotas.spend(ADA, WRITES, 4)
    with pytest.raises(QuotaExceeded) as refusal:
        await quotas.spend(ADA, WRITES, 7)
    assert 0 < refusal.value.retry_after <= 60
    await quotas.spend(ADA, WRITES, 6)
    # More than there ever is takes all of it.
    await quotas.spend(BOB, WRITES, 500)
    for email in (ADA, BOB):
        with pytest.raises(QuotaExceeded):
            await quotas.spend(email, WRITES)
    # What has no limit is not counted.
    await quotas.spend(ADA, READS)


async def test_without_a_database_nothing_is_admitted() -> None:
    database = Database("postgresql://localhost:1/nobody_listens")
    with pytest.raises(DatabaseUnavailable):
        await Quotas(database, {READS: 1}).spend(ADA, READS)
    await database.close()


async def test_old_windows_are_forgotten(database: Database, database_url: str) -> None:
    quotas = Quotas(database, {READS: 1})
    await quotas.spend(ADA, READS)
    await administer(database_url, "UPDATE quota_windows SET started_at = started_at - interval '3 days'")
    await quotas.spend(BOB, READS)
    assert await delete_expired_quotas(database) == 1
    assert await query(database_url, "SELECT email FROM quota_windows") == [(BOB,)]

"""Streams of every kind whose server is killed: what comes twice, and what never."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import uuid4

from commontrace.client import connect
from commontrace.client.channel_options import channel_options
from commontrace.v1 import trace_pb2
from tests.contract.events.changes_followed import EventBatch
from tests.contract.imports.imports import a_record
from tests.faults.harness.beside import beside
from tests.faults.harness.callers import Callers, callers_of
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.servers import server
from tests.faults.harness.stream_readers import BeginningAnew, GoingOn, StreamReader
from tests.faults.server_process import ServerProcess

_KILLS = 50
_STANDING, _IMPORTED = 160, 60
_LARGE = "x" * 45_000
"""What is stored is larger than what the way between server and reader holds."""
_SMALL_WINDOW = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_536)]
"""What has arrived unread is not missed when the connection breaks."""
_READ_SECONDS = 0.004
"""What a reader takes for one thing."""
_LONGEST_MOMENT = 0.3
_LAST_EVENTS_SECONDS, _LONGEST_SECONDS = 10.0, 120.0
_HAPPENED = "SELECT event_type, trace_id::text, revision FROM trace_events WHERE sequence > $1 ORDER BY sequence"


@dataclass(kw_only=True)
class _Tally:
    """Counts over the streams of one kind: items repeated, items skipped, streams broken off."""

    streams: int = 0
    repeated: int = 0
    skipped: int = 0
    broken: int = 0
    is_reading: bool = False

    def count(self, came: Sequence[Any], wanted: Sequence[Any]) -> None:
        """Compares one stream with what it should have been."""
        self.streams += 1
        self.repeated += (Counter(came) - Counter(wanted)).total()
        self.skipped += (Counter(wanted) - Counter(came)).total()


@dataclass(kw_only=True)
class _Readers:
    """Readers of finite streams read one after the other, until it is over; a watcher reads one."""

    reader: StreamReader
    tag: str
    is_over: asyncio.Event = field(default_factory=asyncio.Event)
    imported: list[str] = field(default_factory=list)
    told: list[EventBatch] = field(default_factory=list)
    tallies: dict[str, _Tally] = field(
        default_factory=lambda: {kind: _Tally() for kind in ("search", "export", "import", "watch")}
    )

    async def search(self) -> None:
        self.tallies["search"].count(
            await self._read("search", self.reader.search("standing", self.tag)), _standing(self.tag)
        )

    async def export(self) -> None:
        self.tallies["export"].count(await self._read("export", self.reader.export(self.tag)), _standing(self.tag))

    async def import_(self) -> None:
        first = len(self.imported)
        records = [
            a_record(
                number, title=f"{self.tag} imported {number}", context=_LARGE, on_duplicate=trace_pb2.ON_DUPLICATE_ALLOW
            )
            for number in range(first, first + _IMPORTED)
        ]
        self.imported += [record.title for record in records]
        came = await self._read("import", self.reader.import_(records))
        self.tallies["import"].count(came, list(range(1, _IMPORTED + 1)))

    async def watch(self) -> None:
        async for event in self.reader.watch():
            self.told.append(event)

    async def repeat(self, one: Callable[[], Awaitable[None]]) -> None:
        """Reads such streams until it is over, the last one to its end."""
        while not self.is_over.is_set():
            await one()

    async def _read(self, kind: str, stream: AsyncIterator[Any]) -> list[Any]:
        came, tally = [], self.tallies[kind]
        async for one in stream:
            tally.is_reading = True
            came.append(one)
            await asyncio.sleep(_READ_SECONDS)
        tally.is_reading = False
        return came

    async def until_all_read(self) -> None:
        """Returns when something more has come of every stream that has an end, and not all."""
        for tally in self.tallies.values():
            tally.is_reading = False
        async with asyncio.timeout(_LONGEST_SECONDS):
            while sum(tally.is_reading for tally in self.tallies.values()) < len(self.tallies) - 1:  # noqa: ASYNC110
                await asyncio.sleep(_READ_SECONDS)

    def killed(self) -> None:
        """Counts what was broken off."""
        self.tallies["watch"].broken += 1
        for tally in self.tallies.values():
            tally.broken += tally.is_reading


async def measure(trial: Trial) -> list[Figure]:
    """Kills the server with -9 while four streams are read, and starts it on the same address."""
    random = Random(trial.seed)  # noqa: S311 - not a secret
    tag = f"streamed-{uuid4().hex[:8]}"
    servers = [await _started(trial)]
    address = servers[0].address
    try:
        callers = callers_of(servers[0])
        before = await _store(servers[0], callers, tag)
        async with _reader(trial, callers, address) as reader:
            readers = _Readers(reader=reader, tag=tag)
            watching = asyncio.create_task(readers.watch())
            await asyncio.wait_for(reader.watches.wait(), _LONGEST_SECONDS)
            reading = [
                asyncio.create_task(readers.repeat(one)) for one in (readers.search, readers.export, readers.import_)
            ]
            for _ in range(trial.times(_KILLS)):
                await readers.until_all_read()
                await asyncio.sleep(random.uniform(0, _LONGEST_MOMENT))
                readers.killed()
                servers[-1].kill()
                await asyncio.to_thread(servers.pop().__exit__, None, None, None)
                servers.append(await _started(trial, LISTEN_ADDRESS=address))
            readers.is_over.set()
            await asyncio.gather(*reading)
            await _compare_with_stored(servers[-1], readers, before)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    finally:
        for left in servers:
            await asyncio.to_thread(left.__exit__, None, None, None)
    return [_figure(kind, tally) for kind, tally in readers.tallies.items()]


async def _started(trial: Trial, **settings: str) -> ServerProcess:
    return await asyncio.to_thread(server(trial, **settings).__enter__)


async def _store(running: ServerProcess, callers: Callers, tag: str) -> int:
    """Stores what is searched and exported, and returns the number of the last event then."""
    records = [
        a_record(title=title, context=_LARGE, solution=f"{title} {_LARGE}", tags=[tag]) for title in _standing(tag)
    ]
    async with connect(running.address, key=await callers.key(), deadline=_LONGEST_SECONDS) as client:
        assert all([result.created_trace_id async for result in client.import_traces(records)])
    async with beside(running) as database, asyncio.timeout(_LONGEST_SECONDS):
        # A search finds what is encoded.
        while (await database.ask("SELECT count(*) FROM encoding_jobs"))[0][0]:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
        [[last]] = await database.ask("SELECT max(sequence) FROM trace_events")
    return int(last)


@asynccontextmanager
async def _reader(trial: Trial, callers: Callers, address: str) -> AsyncIterator[StreamReader]:
    """Yields our client; in an unprotected trial, one that begins anew."""
    if trial.protected:
        async with connect(address, key=await callers.key(), deadline=_LONGEST_SECONDS) as client:
            yield GoingOn(client)
    else:
        async with callers.channel(address, options=[*channel_options(address), *_SMALL_WINDOW]) as channel:
            yield BeginningAnew(channel)


async def _compare_with_stored(running: ServerProcess, readers: _Readers, before: int) -> None:
    """Counts what was imported and what was told against what the database holds."""
    async with beside(running) as database:
        rows = await database.ask(f"SELECT title FROM traces WHERE title LIKE '{readers.tag} imported %'")  # noqa: S608
        readers.tallies["import"].count([row["title"] for row in rows], readers.imported)
        events = [tuple(row) for row in await database.ask(_HAPPENED.replace("$1", str(before)))]
        clock = asyncio.get_running_loop().time
        ends_at = clock() + _LAST_EVENTS_SECONDS
        while len(readers.told) < len(events) and clock() < ends_at:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
        readers.tallies["watch"].count(readers.told, events)


def _standing(tag: str) -> list[str]:
    """The titles of what is there all the time."""
    return [f"{tag} standing {number}" for number in range(_STANDING)]


def _figure(kind: str, tally: _Tally) -> Figure:
    return Figure(
        name=f"{kind} streams broken by kill -9",
        target="0 repeated, 0 skipped",
        measured=f"{tally.repeated} repeated, {tally.skipped} skipped; {tally.broken} broken off",
        ok=tally.repeated == tally.skipped == 0,
    )

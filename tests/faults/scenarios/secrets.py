"""Secrets in every text that could be kept: how many are kept, told again or logged; false alarms; the worst cost."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import grpc

from commontrace.domain.secrets import scan as secret_scan
from commontrace.domain.secrets.scan import SecretScan
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.serving.bootstrap import Foundation
from commontrace.serving.server import serving
from commontrace.settings import Settings
from commontrace.storage.database import Database
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.contract.callers import ADA, BOB
from tests.contract.calls import call
from tests.contract.imports.imports import acknowledged, message
from tests.faults.harness.callers import Callers
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.stored import everything_stored
from tests.faults.server_process import ServerProcess
from tests.support.builders import a_contribution
from tests.support.hostile_texts import hostile_texts
from tests.support.planted_secrets import SECRETS, planted
from tests.support.prepared_data import copy_migrated, copy_served
from tests.support.repository import REPOSITORY
from tests.support.secret_holders import holders, records, tag_holders

_VARIANTS = 20
_AT_A_TIME = 4
_TEXT_BYTES = 64 << 10
_MOST_MILLISECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class _Server:
    """Addresses of a server and its Postgres, and the logs of both."""

    address: str
    postgres_url: str
    logged: Callable[[], str]


@dataclass(kw_only=True)
class _Planted:
    """Planted secrets: a unique part of each, in small letters, and the answers that callers got."""

    signs: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    calls: int = 0


async def measure(trial: Trial) -> list[Figure]:
    """Plants secrets of every kind over every RPC and looks for them; unprotected, no rule is asked."""
    started: AbstractAsyncContextManager[_Server] = (_protected if trial.protected else _unprotected)(trial.place)
    async with started as server:
        done = await _plant(server, trial)
        places = {
            "stored": await everything_stored(server.postgres_url),
            "logged": server.logged().lower(),
            "told": "\n".join(done.told).lower(),
        }
    found = {where: sum(sign in text for sign in done.signs) for where, text in places.items()}
    texts = list(_clean_texts())
    alarms = [text for text in texts if secret_scan.scan.find(text)]
    name, milliseconds, count = _worst_text(trial.seed)
    return [
        Figure(
            name="planted secrets stored, logged or told again",
            target="0",
            measured=f"{sum(found.values())} of {len(done.signs)} in {done.calls} calls: {found}",
            ok=not any(found.values()),
        ),
        Figure(
            name="false alarms on fixtures and documents",
            target="0",
            measured=f"{len(alarms)} of {len(texts)} texts",
            ok=not alarms,
        ),
        Figure(
            name="search for secrets in the worst text of 64 KiB",
            target=f"{_MOST_MILLISECONDS:g} ms",
            measured=f"{milliseconds:.1f} ms of {count} texts ({name})",
            ok=milliseconds <= _MOST_MILLISECONDS,
        ),
    ]


async def _plant(server: _Server, trial: Trial) -> _Planted:
    done = _Planted()
    users = [email for caller in (ADA, BOB) for _, email in caller]
    async with Callers(server.postgres_url).channel(server.address, users=users) as channel:
        traces = TraceServiceStub(channel)
        own = (await traces.CreateTrace(a_contribution(1), metadata=ADA)).created.id
        others = (await traces.CreateTrace(a_contribution(2), metadata=BOB)).created.id
        rules = list(SECRETS)
        texts = [
            planted(rules[number % len(rules)], trial.seed * _VARIANTS + number // len(rules))
            for number in range(trial.times(_VARIANTS * len(rules)))
        ]
        for at in range(0, len(texts), _AT_A_TIME):
            await asyncio.gather(*(_send(text, channel, own, others, done) for text in texts[at : at + _AT_A_TIME]))
    return done


async def _send(text: str, channel: grpc.aio.Channel, own: str, others: str, done: _Planted) -> None:
    done.signs.append(max(re.findall("[a-z0-9]+", text.lower()), key=len))
    for rpc, _, request in (*holders(text, own=own, others=others), *tag_holders(text, own=own)):
        kept: Any = request
        kept.request_id = str(uuid4())
        error = await call(channel, rpc, kept.SerializeToString(), ADA)
        done.calls += 1
        if error is not None:
            done.told += [error.details() or "", *(str(value) for _, value in error.trailing_metadata())]
    answers = await acknowledged(TraceServiceStub(channel), message(records(text), import_id=str(uuid4())))
    done.calls += 1
    done.told += (str(result.error) for answer in answers for result in answer.results)


def _clean_texts() -> Iterator[str]:
    for file in sorted((REPOSITORY / "fixtures").glob("*.json")):
        yield from _strings(json.loads(file.read_text()))
    for page in sorted(
        [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / "examples").glob("*/main.*")]
    ):
        yield page.read_text()


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _worst_text(seed: int) -> tuple[str, float, int]:
    """Returns the one that took longest the first time that it was seen, its milliseconds, and how many there were."""
    # A process has prepared its rules long before it meets a hostile text.
    for rule in SECRETS:
        secret_scan.scan.find(planted(rule, seed))
    taken: Sequence[tuple[float, str]] = [
        (_milliseconds(text), name) for name, text in hostile_texts(_TEXT_BYTES, seed)
    ]
    milliseconds, name = max(taken)
    return name, milliseconds, len(taken)


def _milliseconds(text: str) -> float:
    started = time.process_time()
    secret_scan.scan.find(text)
    return (time.process_time() - started) * 1e3


@asynccontextmanager
async def _protected(place: Path) -> AsyncIterator[_Server]:
    embedding = {"EMBEDDER": "lexical", "EMBEDDING_DIMENSIONS": "64"}
    copy_served(place, **embedding)
    process = ServerProcess(place, **embedding, AUTHENTICATION="keys")
    await asyncio.to_thread(process.__enter__)
    try:
        url = embedded_postgres.attach(process.data_dir)
        assert url is not None

        def logged() -> str:
            files = process.data_dir.glob("*.log*")
            return "\n".join([process.stdout, process.stderr, *(file.read_text(errors="replace") for file in files)])

        yield _Server(address=process.address, postgres_url=url, logged=logged)
    finally:
        await asyncio.to_thread(process.__exit__, None, None, None)


@asynccontextmanager
async def _unprotected(place: Path) -> AsyncIterator[_Server]:
    embedder = LexicalEmbedder(64)
    copy_migrated(place, dimensions=embedder.dimensions)
    with embedded_postgres.start(place, version="18") as postgres, patch.object(secret_scan, "scan", SecretScan(())):
        database = Database(postgres.url)
        settings = Settings.model_validate({"listen_address": "127.0.0.1:0", "authentication": "keys"})
        async with serving(settings, Foundation(database=database, embedder=embedder)) as address:
            yield _Server(address=address, postgres_url=postgres.url, logged=str)
        await database.close()

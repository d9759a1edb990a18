"""Searches by words as well (HYBRID) in a store that grows: common and rare words, with filters and without."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import numpy as np

from bench import closed_loop, corpora, corpus, vocabulary
from bench.failures import RunFailed
from bench.parameters import LIMIT, Parameters
from bench.processes import serving
from commontrace.client import Client, TraceFilter, connect
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import migrations, vector_type
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from commontrace.storage.models import VECTOR_INDEX_NAME

CALLERS = (1, 4)
_FEWEST = 1_000
_DIMENSIONS = 64
_QUESTIONS = 64
_COMMON_WORDS = 40
_FEW = 30
# Of a round: there are many.
_SHARE = 0.4
_PARTS = {"1 %": 0.01, "10 %": 0.1, "59 %": 0.59}
_USERS: Mapping[str, UUID] = {part: uuid4() for part in (*_PARTS, "")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Worded:
    """One kind of question under one filter in a store of that size; `failures` are calls without an answer."""

    traces: int
    filter: str
    question: str
    callers: int
    answers: int
    failures: int
    first_failure: str
    p50_ms: float
    p99_ms: float


async def measure(parameters: Parameters, postgres: embedded_postgres.EmbeddedPostgres, place: Path) -> list[Worded]:
    """Fills a database step by step and measures. Raises RunFailed, CallFailed."""
    embedder = LexicalEmbedder(_DIMENSIONS)
    settings = corpora.server_settings(corpora.lexical(_DIMENSIONS))
    questions = {
        "labelled": vocabulary.realistic(_QUESTIONS),
        f"{_COMMON_WORDS} common words": [vocabulary.commonest(_COMMON_WORDS)],
        "8,000 characters": [vocabulary.longest()],
    }
    filters = {"none": None, str(_FEW): TraceFilter(agent_models=["few"])}
    filters |= {part: TraceFilter(contributor_ids=[str(_USERS[part])]) for part in _PARTS}
    large, filled = parameters.large, 0
    worded: list[Worded] = []
    async with corpora.database(postgres.url) as url:
        await migrations.upgrade(url, embedder)
        async with serving(url, place / "server.log", settings) as server, connect(server.address) as client:
            for size in sorted({min(_FEWEST, large), min(parameters.traces, large), large}):
                await fill(corpora.dsn_of(url), embedder, range(filled, size))
                filled = size
                for callers in CALLERS:
                    for name, trace_filter in filters.items():
                        for question, texts in questions.items():
                            answers = await ask(client, texts, trace_filter, parameters, callers=callers)
                            worded.append(row(answers, size, name, question, callers))
    return worded


async def ask(
    client: Client, texts: Sequence[str], trace_filter: TraceFilter | None, parameters: Parameters, *, callers: int
) -> closed_loop.Answers:
    """Asks, HYBRID, for a share of a round."""

    async def one(number: int) -> None:
        hits = await client.search(
            texts[number % len(texts)], limit=LIMIT, filter=trace_filter, ranking="hybrid", full=False
        )
        if not hits:
            raise closed_loop.WrongAnswer("no hits")

    await closed_loop.run(one, count(), callers=callers, seconds=parameters.warm_up_seconds * _SHARE)
    return await closed_loop.run(one, count(), callers=callers, seconds=parameters.seconds * _SHARE)


def row(answers: closed_loop.Answers, size: int, name: str, question: str, callers: int) -> Worded:
    """Returns what the answers say. Raises RunFailed where there are none."""
    if not answers.milliseconds:
        raise RunFailed(f"{question}, {size} traces: every call failed, the first with {answers.first_failure}")
    p50, p99 = map(float, np.percentile(answers.milliseconds, [50, 99]))
    return Worded(
        traces=size,
        filter=name,
        question=question,
        callers=callers,
        answers=len(answers.milliseconds),
        failures=answers.failures,
        first_failure=answers.first_failure,
        p50_ms=p50,
        p99_ms=p99,
    )


async def fill(dsn: str, embedder: LexicalEmbedder, numbers: range) -> None:
    """Adds traces and builds the vector index anew."""
    connection = await asyncpg.connect(dsn)
    try:
        await vector_type.register(connection)
        definition = await connection.fetchval("SELECT pg_get_indexdef($1::regclass)", VECTOR_INDEX_NAME)
        await connection.execute(f"DROP INDEX {VECTOR_INDEX_NAME}")
        if numbers.start == 0:
            users = [(user, f"user-{number}@example.org") for number, user in enumerate(_USERS.values())]
            await connection.copy_records_to_table("users", records=users, columns=("id", "email"))
        columns = ("id", "embedding", "title", "context_text", "solution_text", "agent_model", "contributor_id")
        await connection.copy_records_to_table(
            "traces",
            records=await asyncio.to_thread(lambda: list(_rows(embedder, numbers))),
            columns=(*columns, "embedding_model_id", "embedding_model_version"),
        )
        await connection.execute("SET maintenance_work_mem = '1GB'")
        await connection.execute(definition)
        # What Postgres would else do while searches are measured.
        await connection.execute("VACUUM (ANALYZE)")
    finally:
        await connection.close()


def _rows(embedder: LexicalEmbedder, numbers: range) -> Iterator[tuple[Any, ...]]:
    vectors = corpus.vectors(len(numbers), embedder.dimensions, seed=numbers.start + 2)
    texts = vocabulary.traces(len(numbers), first=numbers.start)
    for number, vector, text in zip(numbers, vectors, texts, strict=True):
        agent_model = "few" if number < _FEW else ""
        yield uuid4(), vector, *text, agent_model, _user(number), embedder.model_id, embedder.model_version


def _user(number: int) -> UUID:
    # Spread evenly, whatever is taken of the beginning.
    place = number * 0.6180339887 % 1.0
    for part, share in _PARTS.items():
        if place < share:
            return _USERS[part]
        place -= share
    return _USERS[""]

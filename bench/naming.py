"""Searches in a store whose traces have few names of tags, and then many."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg

from bench import corpora, vocabulary, wording
from bench.parameters import Parameters
from bench.processes import serving
from commontrace.client import connect
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import migrations
from commontrace.storage.embedded_postgres import instance as embedded_postgres

NAMES = (41, 10_000)
_DIMENSIONS = 64
_QUESTIONS = 64
_TAGS_EACH = 4


async def measure(
    parameters: Parameters, postgres: embedded_postgres.EmbeddedPostgres, place: Path
) -> list[wording.Worded]:
    """Returns searches by labelled questions, HYBRID, for each number of names. Raises RunFailed, CallFailed."""
    embedder = LexicalEmbedder(_DIMENSIONS)
    settings = corpora.server_settings(corpora.lexical(_DIMENSIONS))
    questions = vocabulary.realistic(_QUESTIONS)
    named: list[wording.Worded] = []
    async with corpora.database(postgres.url) as url:
        await migrations.upgrade(url, embedder)
        await wording.fill(corpora.dsn_of(url), embedder, range(parameters.traces))
        async with serving(url, place / "server.log", settings) as server, connect(server.address) as client:
            for before, names in zip((0, *NAMES), NAMES, strict=False):
                await _add_names(corpora.dsn_of(url), range(before, names))
                for callers in wording.CALLERS:
                    answers = await wording.ask(client, questions, None, parameters, callers=callers)
                    named.append(wording.row(answers, parameters.traces, "none", f"{names:,} tag names", callers))
    return named


async def _add_names(dsn: str, numbers: range) -> None:
    """Gives every trace some of the new names."""
    connection = await asyncpg.connect(dsn)
    try:
        tags = [(uuid4(), f"tag-{number}") for number in numbers]
        await connection.copy_records_to_table("tags", records=tags, columns=("id", "name"))
        traces = [row["id"] for row in await connection.fetch("SELECT id FROM traces ORDER BY id")]
        pairs = await asyncio.to_thread(lambda: list(_pairs(traces, [tag_id for tag_id, _ in tags])))
        await connection.copy_records_to_table("trace_tags", records=pairs, columns=("trace_id", "tag_id"))
        await connection.execute("VACUUM (ANALYZE)")
    finally:
        await connection.close()


def _pairs(traces: Sequence[UUID], tags: Sequence[UUID]) -> Iterator[tuple[UUID, UUID]]:
    for number, trace_id in enumerate(traces):
        for place in range(_TAGS_EACH):
            yield trace_id, tags[(number * _TAGS_EACH + place) % len(tags)]

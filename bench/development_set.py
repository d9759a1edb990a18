"""Search quality on the development set (fixtures/quality): recall by kind of question, and paired wins and losses."""

import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import asyncpg
import uvloop

from bench import answer_probability, corpora, cpu
from bench.metrics import first_rank, recall_at
from bench.own_server import own_postgres
from commontrace.client import Client, connect
from commontrace.client.requests import Ranking
from commontrace.data_files import data_directory
from commontrace.serving import bootstrap
from commontrace.serving.server import serving
from commontrace.settings import Settings

HEADLINE = ("hard", "vague", "paraphrase", "error")
"""Kinds of question whose mean is the headline."""
OTHERS = ("keyword", "agent", "other_language")
RANKINGS: tuple[Ranking, ...] = ("cosine", "hybrid", "best")
Found = Mapping[Ranking, Sequence[Sequence[tuple[str, float]]]]
"""What each question found, by ranking: labels of traces with their cosine similarities, in order."""
_LIMIT = 10
_COST_LIMIT = 5
_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question, and the labels of the traces that answer it equally well: none for the kind `none`."""

    kind: str
    query: str
    expected: frozenset[str]


def read_traces() -> list[dict[str, Any]]:
    """Returns the traces, each with its label as `id`."""
    return [json.loads(line) for line in _lines("traces.jsonl")]


def read_questions() -> list[Question]:
    """Returns the questions."""
    rows = map(json.loads, _lines("queries.jsonl"))
    return [Question(kind=row["kind"], query=row["query"], expected=frozenset(row["expected"])) for row in rows]


def _lines(name: str) -> Sequence[str]:
    return (data_directory("fixtures") / "quality" / name).read_text().splitlines()


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """Costs of a search, by ranking, and of a trace.

    `cpu_ms` is the processor time of a search whose text is encoded already, of client and server, and of Postgres.
    `token_bytes` is the mean size of a trace's tokens.
    """

    cpu_ms: Mapping[Ranking, tuple[float, float]]
    token_bytes: float


def ask(rankings: Sequence[Ranking] = RANKINGS) -> Found:
    """Asks a server of its own, with the local model, every question; returns the first ten hits of each."""
    with own_postgres("local") as (where, settings):
        return uvloop.run(_ask(where, settings, rankings))


def ask_with_costs() -> tuple[Found, Costs]:
    """Asks every question in every order as `ask`, and then again for what that costs."""
    with own_postgres("local") as (where, settings):
        return uvloop.run(_ask(where, settings, RANKINGS)), uvloop.run(_measure_costs(where, settings))


async def _ask(where: bootstrap.Postgres, settings: Settings, rankings: Sequence[Ranking]) -> Found:
    await bootstrap.migrate(where, settings)
    async with _served(where, settings) as client:
        labels = {}
        for trace in read_traces():
            stored = await client.contribute(trace["title"], trace["context"], trace["solution"], tags=trace["tags"])
            labels[stored.created.id] = trace["id"]
        return {
            ranking: [await _hits(client, one, labels, ranking) for one in read_questions()] for ranking in rankings
        }


async def _measure_costs(where: bootstrap.Postgres, settings: Settings) -> Costs:
    """Measures searches whose texts are encoded already."""
    assert where.process is not None
    processes = {"server": os.getpid(), "Postgres": where.process.pid}
    texts = [question.query for question in read_questions()]
    cpu_ms = {}
    async with _served(where, settings) as client:
        for text in texts:
            await client.search(text, limit=_COST_LIMIT)
        for ranking in RANKINGS:
            before = cpu.seconds_of(processes)
            for text in texts:
                await client.search(text, limit=_COST_LIMIT, ranking=ranking)
            after = cpu.seconds_of(processes)
            server, postgres = (1000 * (after[name] - before[name]) / len(texts) for name in processes)
            cpu_ms[ranking] = server, postgres
    connection = await asyncpg.connect(corpora.dsn_of(where.url))
    token_bytes = await connection.fetchval("SELECT avg(length(signs))::float8 FROM trace_tokens")
    await connection.close()
    return Costs(cpu_ms=cpu_ms, token_bytes=token_bytes)


@asynccontextmanager
async def _served(where: bootstrap.Postgres, settings: Settings) -> AsyncIterator[Client]:
    async with (
        bootstrap.foundation(where, settings) as foundation,
        serving(settings, foundation) as address,
        connect(address, deadline=_SECONDS) as client,
    ):
        yield client


async def _hits(
    client: Client, question: Question, labels: Mapping[str, str], ranking: Ranking
) -> list[tuple[str, float]]:
    hits = await client.search(question.query, limit=_LIMIT, full=False, exact=True, ranking=ranking)
    return [(labels[hit.trace.id], hit.similarity) for hit in hits]


def questions_by_similarity(found: Found) -> list[answer_probability.Question]:
    """Returns the questions by what they found by similarity, for the calibration."""
    pairs = zip(found["cosine"], read_questions(), strict=True)
    return [answer_probability.Question.of(hits, question.expected) for hits, question in pairs]


def ranks_of(found: Found) -> dict[Ranking, list[int | None]]:
    """Returns the rank of the first right trace for each question, None beyond ten, by ranking."""
    return {
        ranking: [
            first_rank([label for label, _ in hits], question.expected)
            for hits, question in zip(of_ranking, read_questions(), strict=True)
        ]
        for ranking, of_ranking in found.items()
    }


def recalls(ranks: Sequence[int | None], kind: str) -> tuple[float, float]:
    """Returns recall@1 and recall@3 of the questions of a kind."""
    of_kind = [rank for rank, question in zip(ranks, read_questions(), strict=True) if question.kind == kind]
    return recall_at(1, of_kind), recall_at(3, of_kind)


def headline(ranks: Sequence[int | None]) -> tuple[float, float]:
    """Returns the means of recall@1 and of recall@3 over the kinds of the headline."""
    first, among_three = zip(*(recalls(ranks, kind) for kind in HEADLINE), strict=True)
    return sum(first) / len(HEADLINE), sum(among_three) / len(HEADLINE)


def print_results(found: Found, costs: Costs) -> None:
    """Prints recall@1 and recall@3 by kind and ranking, wins and losses of each against the one before, and costs."""
    ranks = ranks_of(found)
    kinds = [question.kind for question in read_questions()]
    print(f"\n{'development set: recall@1, recall@3':36}" + "".join(f"{ranking:>16}" for ranking in ranks))
    rows = {f"{kind:30} {kinds.count(kind):5}": partial(recalls, kind=kind) for kind in (*HEADLINE, *OTHERS)}
    for name, figures in (rows | {f"{'headline: mean of the first four':36}": headline}).items():
        cells = ("  ".join(f"{value:.3f}" for value in figures(of_ranking)) for of_ranking in ranks.values())
        print(name + "".join(f"{cell:>16}" for cell in cells))
    for ours, theirs in pairwise(ranks):
        pairs = list(zip(ranks[ours], ranks[theirs], strict=True))
        wins = sum(one == 1 != other for other, one in pairs)
        losses = sum(other == 1 != one for other, one in pairs)
        print(f"{theirs} finds {wins} first that {ours} does not, and misses {losses} that {ours} finds first")
    print(f"\n{'CPU ms a search, text encoded already':36}" + "".join(f"{ranking:>16}" for ranking in ranks))
    for at, where in enumerate(("client and server", "Postgres")):
        print(f"{where:36}" + "".join(f"{costs.cpu_ms[ranking][at]:16.2f}" for ranking in ranks))
    print(f"tokens of a trace: {costs.token_bytes / 1000:.1f} KB")

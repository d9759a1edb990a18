"""Search quality on the development set (fixtures/quality): recall by kind of question, and paired wins and losses."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.metrics import first_rank, recall_at
from commontrace.client import Client, connect
from commontrace.client.requests import Ranking
from commontrace.data_files import data_directory
from commontrace.serving import bootstrap
from commontrace.serving.server import serving
from commontrace.settings import Settings

HEADLINE = ("hard", "vague", "paraphrase", "error")
"""Kinds of question whose mean is the headline."""
OTHERS = ("keyword", "agent", "other_language")
RANKINGS: tuple[Ranking, ...] = ("cosine", "hybrid")
Found = Mapping[Ranking, Sequence[Sequence[tuple[str, float]]]]
"""What each question found, by ranking: labels of traces with their cosine similarities, in order."""
_LIMIT = 10
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


async def measure(
    where: bootstrap.Postgres, settings: Settings, *, rankings: Sequence[Ranking] = RANKINGS
) -> dict[Ranking, list[list[tuple[str, float]]]]:
    """Returns the first ten hits of each question by ranking."""
    await bootstrap.migrate(where, settings)
    async with (
        bootstrap.foundation(where, settings) as foundation,
        serving(settings, foundation) as address,
        connect(address, deadline=_SECONDS) as client,
    ):
        questions = read_questions()
        labels = {}
        for trace in read_traces():
            stored = await client.contribute(trace["title"], trace["context"], trace["solution"], tags=trace["tags"])
            labels[stored.created.id] = trace["id"]
        return {ranking: [await _hits(client, one, labels, ranking) for one in questions] for ranking in rankings}


async def _hits(
    client: Client, question: Question, labels: Mapping[str, str], ranking: Ranking
) -> list[tuple[str, float]]:
    hits = await client.search(question.query, limit=_LIMIT, full=False, exact=True, ranking=ranking)
    return [(labels[hit.trace.id], hit.similarity) for hit in hits]


def print_results(found: Found) -> None:
    """Prints recall@1 and recall@3 by kind and ranking, and how often a ranking wins and loses against cosine."""
    questions = read_questions()
    kinds = [question.kind for question in questions]
    ranks = {
        ranking: [
            first_rank([label for label, _ in hits], question.expected)
            for hits, question in zip(of_ranking, questions, strict=True)
        ]
        for ranking, of_ranking in found.items()
    }

    def recalls(ranking: Ranking, kind: str) -> tuple[float, float]:
        of_kind = [rank for rank, other in zip(ranks[ranking], kinds, strict=True) if other == kind]
        return recall_at(1, of_kind), recall_at(3, of_kind)

    print(f"\n{'development set: recall@1, recall@3':36}" + "".join(f"{ranking:>16}" for ranking in ranks))
    for kind in (*HEADLINE, *OTHERS):
        cells = ("  ".join(f"{value:.3f}" for value in recalls(ranking, kind)) for ranking in ranks)
        print(f"{kind:30} {kinds.count(kind):5}" + "".join(f"{cell:>16}" for cell in cells))
    means = (
        "  ".join(f"{sum(recalls(ranking, kind)[at] for kind in HEADLINE) / len(HEADLINE):.3f}" for at in (0, 1))
        for ranking in ranks
    )
    print(f"{'headline: mean of the first four':36}" + "".join(f"{mean:>16}" for mean in means))
    for ranking in ranks:
        if ranking != "cosine":
            pairs = list(zip(ranks[ranking], ranks["cosine"], strict=True))
            wins = sum(ours == 1 != theirs for ours, theirs in pairs)
            losses = sum(theirs == 1 != ours for ours, theirs in pairs)
            print(f"{ranking} finds {wins} first that cosine does not, and misses {losses} that cosine finds first")

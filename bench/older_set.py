"""Search quality on the older set (fixtures/search_cases.json): labelled queries, asked as users ask them.

The sample traces lie among a few hundred others. Searches are exact, so that every run finds the same. Then come rival
traces, voted up or down, and the queries that they are for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import uvloop

from bench.answer_probability import Question
from bench.metrics import first_rank
from bench.own_server import own_postgres
from bench.search_cases import NEAR_DUPLICATE, SearchCase, read, read_search_cases
from commontrace.client import Client, connect
from commontrace.client.requests import Ranking
from commontrace.serving import bootstrap
from commontrace.serving.server import serving
from commontrace.settings import Settings

LIMIT = 10
"""What a search returns by default; a trace beyond counts as not found."""
RANKINGS: tuple[Ranking, ...] = ("cosine", "hybrid", "best", "trust_weighted")
_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Slugs that a search found, and their cosine similarities, in their order."""

    case: SearchCase
    ranking: Ranking
    found: Sequence[tuple[str, float]]

    def rank(self, min_similarity: float = -1.0) -> int | None:
        """Returns the place of the first expected trace among those at least so similar."""
        return first_rank(self.slugs(min_similarity), self.case.expected)

    def slugs(self, min_similarity: float) -> list[str]:
        """Returns what the search would have found with this `min_similarity`."""
        return [slug for slug, similarity in self.found if similarity >= min_similarity]


def ask(embedder: Literal["local", "lexical"], *, rankings: Sequence[Ranking] = RANKINGS) -> list[Answer]:
    """Asks a server of its own every query of the older set."""
    with own_postgres(embedder) as (where, settings):
        return uvloop.run(_ask(where, settings, rankings))


def questions(answers: Sequence[Answer]) -> list[Question]:
    """Returns the questions by what they found by similarity."""
    similar = [one for one in answers if one.ranking == "cosine" and one.case.kind != NEAR_DUPLICATE]
    return [Question.of(one.found, one.case.expected) for one in similar]


async def _ask(where: bootstrap.Postgres, settings: Settings, rankings: Sequence[Ranking]) -> list[Answer]:
    """Starts a server, contributes the distractors to the samples it comes with, and asks it every query."""
    await bootstrap.migrate(where, settings)
    async with bootstrap.foundation(where, settings) as foundation:
        await bootstrap.seed(foundation)
        async with serving(settings, foundation) as address, connect(address, deadline=_SECONDS) as client:
            distractors = read("distractors")
            for trace in distractors:
                await client.contribute(trace["title"], trace["context"], trace["solution"], tags=trace["tags"])
            slugs = {trace["title"]: trace["slug"] for trace in (*read("sample_traces"), *distractors)}
            model = (await client.service_info()).embedding_model
            print(f"\n{model.id} {model.version}, {model.dimensions} dimensions, {len(slugs)} traces")
            cases = read_search_cases()
            answers = [
                await _answer(client, case, slugs, ranking)
                for ranking in rankings
                for case in cases
                if case.kind != NEAR_DUPLICATE
            ]
            slugs |= await _add_rivals(address, client)
            answers += [
                await _answer(client, case, slugs, ranking)
                for ranking in rankings
                for case in cases
                if case.kind == NEAR_DUPLICATE
            ]
            return answers


async def _add_rivals(address: str, client: Client) -> dict[str, str]:
    """Contributes the rival traces and votes on them; returns their slugs by title."""
    slugs = {}
    for trace in read("rival_traces"):
        contributed = await client.contribute(trace["title"], trace["context"], trace["solution"], tags=trace["tags"])
        slugs[trace["title"]] = trace["slug"]
        voters = [("up", number) for number in range(trace["up_votes"])]
        voters += [("down", number) for number in range(trace["down_votes"])]
        for verdict, number in voters:
            async with connect(address, user=f"{verdict}-{number}@example.org") as voter:
                if verdict == "up":
                    await voter.vote(contributed.created.id, "up")
                else:
                    await voter.vote(contributed.created.id, "down", reason="incorrect")
    return slugs


async def _answer(client: Client, case: SearchCase, slugs: dict[str, str], ranking: Ranking) -> Answer:
    """Asks one query; `slugs` are those of the traces by title."""
    hits = await client.search(case.query, limit=LIMIT, full=False, exact=True, ranking=ranking)
    return Answer(case=case, ranking=ranking, found=[(slugs[hit.trace.title], hit.similarity) for hit in hits])

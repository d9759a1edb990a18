"""Search quality with the local model and without it, by labelled queries: `make quality`.

The sample traces lie among a few hundred others, and labelled queries are asked as users ask them: of a real server on
an embedded Postgres of its own, in every order that there is. Searches are exact, so that every run prints the same.
Then come rival traces, voted up or down, and the queries that they are for. `--misses` lists every query that did not
find its trace first by similarity alone, and what the unanswerable ones came closest to.
"""

import argparse
import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Literal

import uvloop

from bench import development_set
from bench.answer_probability import Question, print_report
from bench.metrics import first_rank, mean_reciprocal_rank, recall_at
from bench.search_cases import ANSWERABLE, EXACT, NEAR_DUPLICATE, UNANSWERABLE, SearchCase, read, read_search_cases
from commontrace.cli.runtime.environment import configure_logging, explain_failures
from commontrace.client import Client, connect
from commontrace.client.requests import Ranking
from commontrace.domain.search.verdict import calibration_of
from commontrace.embeddings.local.model import LocalModel, find_model_directory
from commontrace.embeddings.model import Model
from commontrace.serving import bootstrap
from commontrace.serving.server import serving
from commontrace.settings import Settings

LIMIT = 10
"""What a search returns by default; a trace beyond counts as not found."""
THRESHOLDS = [step / 20 for step in range(15)]
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


async def ask(where: bootstrap.Postgres, settings: Settings, *, rankings: Sequence[Ranking] = RANKINGS) -> list[Answer]:
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
                await answer(client, case, slugs, ranking)
                for ranking in rankings
                for case in cases
                if case.kind != NEAR_DUPLICATE
            ]
            slugs |= await add_rivals(address, client)
            answers += [
                await answer(client, case, slugs, ranking)
                for ranking in rankings
                for case in cases
                if case.kind == NEAR_DUPLICATE
            ]
            return answers


async def add_rivals(address: str, client: Client) -> dict[str, str]:
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


async def answer(client: Client, case: SearchCase, slugs: dict[str, str], ranking: Ranking) -> Answer:
    """Asks one query; `slugs` are those of the traces by title."""
    hits = await client.search(case.query, limit=LIMIT, full=False, exact=True, ranking=ranking)
    return Answer(case=case, ranking=ranking, found=[(slugs[hit.trace.title], hit.similarity) for hit in hits])


def print_found(answers: Sequence[Answer]) -> None:
    """Prints how well the queries found their traces in each order, by kind; `all` are those that samples answer."""
    print(f"\n{'recall@1, recall@3, MRR@' + str(LIMIT):24} {'number':>8}" + "".join(f"{name:>24}" for name in RANKINGS))
    for kinds in (*((kind,) for kind in ANSWERABLE), ANSWERABLE, *((kind,) for kind in (*EXACT, NEAR_DUPLICATE))):
        asked = [answer for answer in answers if answer.case.kind in kinds]
        name = kinds[0] if len(kinds) == 1 else "all"
        scores = "".join(_scores([one.rank() for one in asked if one.ranking == ranking]) for ranking in RANKINGS)
        print(f"{name:24} {len(asked) // len(RANKINGS):8}{scores}")


def _scores(ranks: Sequence[int | None]) -> str:
    scores = (recall_at(1, ranks), recall_at(3, ranks), mean_reciprocal_rank(ranks))
    return f"{'  '.join(f'{score:.3f}' for score in scores):>24}"


def print_thresholds(answerable: Sequence[Answer], unanswerable: Sequence[Answer]) -> None:
    """Prints what each `min_similarity` keeps of the right answers, and how often it rightly answers nothing."""
    print(f"\n{'':14} {'expected trace still':^22} {'unanswerable:':>14}")
    print(f"{'min_similarity':14} {'first':>10} {'in first 3':>11} {'nothing':>14}")
    for threshold in THRESHOLDS:
        ranks = [answer.rank(threshold) for answer in answerable]
        silent = [not answer.slugs(threshold) for answer in unanswerable]
        nothing = sum(silent) / len(silent)
        print(f"{threshold:<14.2f} {recall_at(1, ranks):10.3f} {recall_at(3, ranks):11.3f} {nothing:14.3f}")


def print_misses(answerable: Sequence[Answer], unanswerable: Sequence[Answer]) -> None:
    """Prints every query that did not find its trace first, and what came closest to the unanswerable ones."""
    print("\nnot first")
    for answer in answerable:
        rank = answer.rank()
        if rank != 1:
            similarity = "" if rank is None else f" ({answer.found[rank - 1][1]:.3f})"
            place = f"beyond place {LIMIT}" if rank is None else f"in place {rank}"
            print(f"  [{answer.case.kind}] {_one_line(answer.case.query)}")
            print(f"      {' or '.join(sorted(answer.case.expected))} is {place}{similarity}; {_first(answer)}")
    print("\nclosest to unanswerable queries")
    for answer in unanswerable:
        print(f"  {_one_line(answer.case.query)}\n      {_first(answer)}")


def _first(answer: Answer) -> str:
    slug, similarity = answer.found[0]
    return f"first is {slug} ({similarity:.3f})"


def _one_line(query: str) -> str:
    return shorten(query, 110, placeholder=" ...")


def ask_older(embedder: Literal["local", "lexical"], *, rankings: Sequence[Ranking] = RANKINGS) -> list[Answer]:
    """Asks a server of its own the queries of the older set."""
    with tempfile.TemporaryDirectory(prefix="quality-") as data:
        settings = Settings(listen_address="127.0.0.1:0", data_dir=Path(data), embedder=embedder)
        with bootstrap.postgres(settings, attach=False) as where:
            return uvloop.run(ask(where, settings, rankings=rankings))


def measure(embedder: Literal["local", "lexical"], *, misses: bool) -> list[Answer]:
    """Prints the tables of one embedder, and returns what they are made of."""
    answers = ask_older(embedder)
    print_found(answers)
    similar = [answer for answer in answers if answer.ranking == "cosine"]
    answerable = [answer for answer in similar if answer.case.kind in ANSWERABLE]
    unanswerable = [answer for answer in similar if answer.case.kind == UNANSWERABLE]
    print_thresholds(answerable, unanswerable)
    if misses:
        print_misses(answerable, unanswerable)
    return answers


def ask_development_set(
    *, rankings: Sequence[Ranking] = development_set.RANKINGS
) -> tuple[development_set.Found, development_set.Costs]:
    """Asks a server of its own, with the local model, the questions of the development set."""
    with tempfile.TemporaryDirectory(prefix="quality-") as data:
        settings = Settings(listen_address="127.0.0.1:0", data_dir=Path(data), embedder="local")
        with bootstrap.postgres(settings, attach=False) as where:
            return uvloop.run(development_set.measure(where, settings, rankings=rankings))


def older_questions(answers: Sequence[Answer]) -> list[Question]:
    """Returns the questions of the older set by what they found by similarity."""
    similar = [answer for answer in answers if answer.ranking == "cosine" and answer.case.kind != NEAR_DUPLICATE]
    return [Question.of(answer.found, answer.case.expected) for answer in similar]


def developed_questions(found: development_set.Found) -> list[Question]:
    """Returns the questions of the development set by what they found by similarity."""
    questions = zip(found["cosine"], development_set.read_questions(), strict=True)
    return [Question.of(hits, question.expected) for hits, question in questions]


def installed_model() -> Model:
    """Returns the installed local model, closed."""
    directory = find_model_directory()
    if directory is None:
        raise SystemExit("the model package is not installed")
    model = LocalModel.load(directory)
    asyncio.run(model.close())
    return model


def forget_settings() -> None:
    """Settings of whoever measures would measure something else, or fill their own database."""
    for name in set(os.environ):
        if name.lower() in Settings.model_fields:
            del os.environ[name]


def main() -> None:
    """Measures both embedders, one after the other, and the development set with the local model."""
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    parser.add_argument("--misses", action="store_true", help="list every query that did not find its trace first")
    arguments = parser.parse_args()
    forget_settings()
    configure_logging("error")
    kinds = Counter(case.kind for case in read_search_cases())
    print(", ".join(f"{count} {kind}" for kind, count in kinds.items()), "queries")
    with explain_failures():
        older = older_questions(measure("local", misses=arguments.misses))
        measure("lexical", misses=arguments.misses)
        found, costs = ask_development_set()
        development_set.print_results(found, costs)
        calibration = calibration_of(installed_model())
        if calibration is None:
            print("\nthe installed model has no calibration: python -m bench.calibration prints one")
        else:
            print_report({"development set": developed_questions(found), "older set": older}, calibration)


if __name__ == "__main__":
    main()

"""Search quality with the local model and without it, on labelled queries: `make quality`.

Asks the older set of both embedders and the development set of the local model, on real servers, in every order that
there is, and prints tables. `--misses` lists every query of the older set that did not find its trace first by
similarity alone, and what the unanswerable ones came closest to.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from textwrap import shorten
from typing import Literal

from bench import development_set, older_set
from bench.answer_probability import print_report
from bench.metrics import mean_reciprocal_rank, recall_at
from bench.older_set import LIMIT, RANKINGS, Answer
from bench.own_server import forget_settings, installed_model
from bench.search_cases import ANSWERABLE, EXACT, NEAR_DUPLICATE, UNANSWERABLE, read_search_cases
from commontrace.cli.runtime.environment import configure_logging, explain_failures
from commontrace.domain.search.verdict import calibration_of

THRESHOLDS = [step / 20 for step in range(15)]


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


def measure(embedder: Literal["local", "lexical"], *, misses: bool) -> list[Answer]:
    """Prints the tables of one embedder, and returns what they are made of."""
    answers = older_set.ask(embedder)
    print_found(answers)
    similar = [answer for answer in answers if answer.ranking == "cosine"]
    answerable = [answer for answer in similar if answer.case.kind in ANSWERABLE]
    unanswerable = [answer for answer in similar if answer.case.kind == UNANSWERABLE]
    print_thresholds(answerable, unanswerable)
    if misses:
        print_misses(answerable, unanswerable)
    return answers


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
        older = older_set.questions(measure("local", misses=arguments.misses))
        measure("lexical", misses=arguments.misses)
        found, costs = development_set.ask_with_costs()
        development_set.print_results(found, costs)
        calibration = calibration_of(installed_model())
        if calibration is None:
            print("\nthe installed model has no calibration: python -m bench.calibration prints one")
        else:
            print_report(
                {"development set": development_set.questions_by_similarity(found), "older set": older}, calibration
            )


if __name__ == "__main__":
    main()

"""How well searches find, held against floors: a few questions below what `make quality` prints (docs/quality.md)."""

import pytest

from bench import development_set, older_set
from bench.development_set import headline, ranks_of, recalls
from bench.metrics import recall_at
from bench.search_cases import ANSWERABLE, EXACT
from commontrace.client.requests import Ranking

pytestmark = pytest.mark.slow

RANKINGS: tuple[Ranking, ...] = ("cosine", "best")


def test_the_development_set_is_found() -> None:
    ranks = ranks_of(development_set.ask(RANKINGS))

    # What shares no long word with its trace is not given up for what does, hence the kinds.
    for name, (first, among_three), (least_first, least_among_three) in (
        ("cosine", headline(ranks["cosine"]), (0.74, 0.86)),
        ("best", headline(ranks["best"]), (0.84, 0.94)),
        ("best, hard", recalls(ranks["best"], "hard"), (0.81, 0.88)),
        ("best, vague", recalls(ranks["best"], "vague"), (0.65, 0.90)),
        ("best, error", recalls(ranks["best"], "error"), (0.97, 0.98)),
    ):
        assert first >= least_first, name
        assert among_three >= least_among_three, name
    wins = sum(best == 1 != cosine for best, cosine in zip(ranks["best"], ranks["cosine"], strict=True))
    losses = sum(cosine == 1 != best for best, cosine in zip(ranks["best"], ranks["cosine"], strict=True))
    assert wins >= 3 * losses


def test_the_older_set_is_found() -> None:
    answers = older_set.ask("local", rankings=RANKINGS)

    def ranks(ranking: Ranking, kinds: tuple[str, ...]) -> list[int | None]:
        return [one.rank() for one in answers if one.ranking == ranking and one.case.kind in kinds]

    assert recall_at(1, ranks("cosine", ANSWERABLE)) >= 0.58
    assert recall_at(1, ranks("best", ANSWERABLE)) >= 0.86
    assert recall_at(3, ranks("best", ANSWERABLE)) >= 0.96
    assert recall_at(1, ranks("best", EXACT)) >= 0.93

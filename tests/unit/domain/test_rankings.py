from itertools import product
from uuid import UUID, uuid4

import pytest

from commontrace.domain.search.rankings import (
    Explanation,
    complete_matches,
    fuse,
    lexical_ranks,
    rerank_by_tokens,
    rerank_by_trust,
    trust_bonus,
)
from commontrace.domain.votes.trust import Tally, trust_score

A, B, C, D = (UUID(int=number) for number in range(4))


def tally(up: int, down: int) -> Tally:
    return Tally(up_count=up, down_count=down)


def test_votes_for_and_against_weigh_the_same_and_none_nothing() -> None:
    assert trust_bonus(tally(0, 0)) == 0
    assert trust_bonus(tally(5, 5)) == 0
    assert trust_bonus(tally(3, 0)) == pytest.approx(0.05 * trust_score(tally(3, 0)))
    for up, down in product(range(12), repeat=2):
        assert trust_bonus(tally(up, down)) == pytest.approx(-trust_bonus(tally(down, up)))


def test_no_number_of_votes_exceeds_the_bound() -> None:
    assert 0.0499 < trust_bonus(tally(2**31 - 1, 0)) <= 0.05
    assert -0.05 <= trust_bonus(tally(0, 2**31 - 1)) < -0.0499


def test_trust_reorders_near_ties_and_never_lifts_the_irrelevant() -> None:
    votes = {B: tally(8, 0), D: tally(1_000_000, 0)}
    explained = rerank_by_trust({A: 0.62, B: 0.60, C: 0.3, D: 0.2}, votes)
    assert sorted(explained, key=lambda trace_id: -explained[trace_id].score) == [B, A, C, D]
    assert explained[A] == Explanation(score=0.62, vector_rank=1)
    assert explained[B].score == 0.60 + trust_bonus(votes[B])


def test_similarity_counts_seven_tenths_and_keywords_three() -> None:
    explained = fuse({A: 0.8, B: 0.6, C: 0.4}, {C: 0.4, D: 0.1}, {C: 3.0, D: 6.0})
    assert explained[A] == Explanation(score=0.7, vector_rank=1)
    assert explained[B].score == pytest.approx(0.35)
    assert explained[C] == Explanation(score=0.15, vector_rank=3, lexical_rank=2)
    # Less similar than the last of the nearest: found by its words alone.
    assert explained[D] == Explanation(score=0.3, lexical_rank=1)


def test_by_how_much_one_is_nearer_counts() -> None:
    far_ahead = fuse({A: 0.9, B: 0.5, C: 0.4}, {B: 0.5}, {A: 0.5, B: 1.0})
    close = fuse({A: 0.9, B: 0.89, C: 0.4}, {B: 0.89}, {A: 0.5, B: 1.0})
    assert far_ahead[A].score > far_ahead[B].score
    assert close[A].score < close[B].score


def test_equals_and_single_traces_have_whole_scores() -> None:
    assert fuse({A: 0.5}, {}, {})[A].score == 0.7
    assert {one.score for one in fuse({A: 0.5, B: 0.5}, {A: 0.5}, {A: 2.0}).values()} == {1.0, 0.7}
    assert fuse({}, {}, {}) == {}


def test_late_interaction_reorders_the_first_and_lifts_none_of_the_others() -> None:
    fused = {A: Explanation(score=0.9), B: Explanation(score=0.7), C: Explanation(score=0.5), D: Explanation(score=0.4)}
    reranked = rerank_by_tokens(fused, [A, B, C], {A: 0.2, B: 0.4, C: 0.3})
    assert reranked[A].score == pytest.approx(1.3)
    assert reranked[A].token_similarity == 0.2
    assert reranked[B].score == pytest.approx(1 + 0.3 * 0.5 + 0.7)
    assert reranked[C].score == pytest.approx(1 + 0.7 * 0.5)
    assert reranked[D] == fused[D]


def test_without_a_token_similarity_the_fusion_counts_alone() -> None:
    fused = {A: Explanation(score=0.9), B: Explanation(score=0.7), C: Explanation(score=0.5)}
    reranked = rerank_by_tokens(fused, [A, B, C], {A: 0.2, C: 0.4})
    assert reranked[B].score == pytest.approx(1.5)
    assert reranked[B].token_similarity is None
    assert rerank_by_tokens(fused, [A, B, C], {}) == fused
    assert rerank_by_tokens(fused, [A], {A: 0.1})[A].score == pytest.approx(2)
    assert rerank_by_tokens({}, [], {}) == {}


def test_equal_keyword_scores_share_a_rank() -> None:
    assert lexical_ranks({A: 7.0, B: 5.0, C: 5.0, D: 1.0}) == {A: 1, B: 2, C: 2, D: 4}
    assert lexical_ranks({}) == {}


def test_equal_keyword_scores_that_were_cut_off_do_not_count() -> None:
    assert complete_matches({uuid4(): 0.1 for _ in range(51)}) == {}
    heavy = {uuid4(): 2.0 + number for number in range(10)}
    assert complete_matches(heavy | {uuid4(): 1.0 for _ in range(41)}).keys() == heavy.keys()
    assert len(complete_matches({uuid4(): 0.1 for _ in range(50)})) == 50


def test_one_order_alone_stays_as_it_is() -> None:
    order = {uuid4(): 1 - number / 100 for number in range(100)}
    explained = fuse(order, {}, {})
    assert sorted(order, key=lambda trace_id: -explained[trace_id].score) == list(order)

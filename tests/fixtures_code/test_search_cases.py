"""The labelled queries as data: enough of each kind, with answers that exist, in words of their own."""

import json
import re
from collections import Counter

import pytest

from bench.search_cases import (
    ANSWERABLE,
    EXACT,
    NEAR_DUPLICATE,
    UNANSWERABLE,
    SearchCase,
    read,
    read_search_cases,
)
from commontrace.data_files import data_directory
from commontrace.domain import limits
from commontrace.embeddings.lexical import stem

CASES = read_search_cases()
PARAPHRASES = [case for case in CASES if case.kind == "paraphrase"]
TITLES = {trace["slug"]: trace["title"] for trace in read("sample_traces")}
# Identifiers count by their parts: MissingGreenlet is `missing` and `greenlet`.
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
STOP_WORDS = frozenset(
    """
    a after all although an and any are as at be been but by can do does don for from get has have how i if in into is
    isn it its me more my no not of on or our out s so t than that the their then there they this to up use using was we
    were what when where which while who why will with would you
    """.split()  # noqa: SIM905 - a list literal would fill sixty lines
)


@pytest.mark.parametrize(
    ("kind", "at_least"),
    [
        ("paraphrase", 24),
        ("error_message", 12),
        ("keywords", 8),
        ("identifier", 20),
        ("error_code", 20),
        (NEAR_DUPLICATE, 12),
        (UNANSWERABLE, 6),
    ],
)
def test_there_are_enough_queries_of_each_kind(kind: str, at_least: int) -> None:
    assert Counter(case.kind for case in CASES)[kind] >= at_least


def test_every_case_has_its_three_fields_and_a_known_kind() -> None:
    assert {tuple(case) for case in read("search_cases")} == {("query", "kind", "expected")}
    assert {case.kind for case in CASES} == {*ANSWERABLE, *EXACT, NEAR_DUPLICATE, UNANSWERABLE}


def test_only_unanswerable_queries_expect_nothing_and_all_others_a_trace_that_exists() -> None:
    names = {name: {trace["slug"] for trace in read(name)} for name in ("sample_traces", "distractors")}
    confirmed = {trace["slug"] for trace in read("rival_traces") if trace["up_votes"] > trace["down_votes"]}
    answers = dict.fromkeys(EXACT, names["sample_traces"] | names["distractors"])
    answers |= {NEAR_DUPLICATE: confirmed, UNANSWERABLE: set()}
    for case in CASES:
        assert bool(case.expected) == (case.kind != UNANSWERABLE), case.query
        assert case.expected <= answers.get(case.kind, names["sample_traces"]), case.query


def test_every_sample_trace_is_asked_for_in_every_way() -> None:
    paraphrased = Counter(slug for case in PARAPHRASES for slug in case.expected)
    assert min(paraphrased[slug] for slug in TITLES) >= 2
    for kind in ANSWERABLE:
        assert {slug for case in CASES if case.kind == kind for slug in case.expected} == TITLES.keys()


def test_queries_are_unique_and_such_as_a_search_takes() -> None:
    assert len({case.query.casefold() for case in CASES}) == len(CASES)
    for case in CASES:
        assert case.query == case.query.strip("\n")
        assert 25 <= len(case.query) <= 300 < limits.QUERY_CHARACTERS
        assert all(character.isprintable() or character == "\n" for character in case.query)


def test_content_words_are_compared_without_case_inflection_and_stop_words() -> None:
    assert content_words("It CACHES the MissingGreenlet of env.py") == content_words("cached missing greenlets env PY")
    assert content_words("what was it for") == set()


def test_half_of_the_paraphrases_share_no_content_word_with_the_title_of_their_trace() -> None:
    assert 2 * sum(map(shares_no_content_word, PARAPHRASES)) >= len(PARAPHRASES)


def test_no_error_message_is_copied_from_the_traces() -> None:
    traces = (*read("sample_traces"), *read("distractors"), *read("rival_traces"))
    texts = _squeezed(" ".join(f"{trace['context']} {trace['solution']}" for trace in traces))
    pasted = {"error_message", "error_code", NEAR_DUPLICATE}
    assert [case.query for case in CASES if case.kind in pasted and _squeezed(case.query) in texts] == []


def test_the_file_is_pretty_printed_and_ends_with_a_newline() -> None:
    text = (data_directory("fixtures") / "search_cases.json").read_text(encoding="utf-8")
    assert text == json.dumps(read("search_cases"), indent=2, ensure_ascii=False) + "\n"


def shares_no_content_word(case: SearchCase) -> bool:
    titles = " ".join(TITLES[slug] for slug in case.expected)
    return not content_words(case.query) & content_words(titles)


def content_words(text: str) -> set[str]:
    words = {word.casefold() for word in WORD.findall(text)}
    return {stem(word) for word in words - STOP_WORDS}


def _squeezed(text: str) -> str:
    return " ".join(text.split())

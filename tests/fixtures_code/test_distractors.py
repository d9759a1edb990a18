"""The traces among which searches are measured: many, different, and such as the service takes."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from bench.search_cases import read
from commontrace.domain import limits
from commontrace.domain.tags.names import normalise_all
from commontrace.rpc.validation.trace_rules import create_trace
from commontrace.v1.trace_service_pb2 import CreateTraceRequest

DISTRACTORS = read("distractors")
RIVALS = read("rival_traces")


def test_there_are_enough() -> None:
    assert len(DISTRACTORS) >= 200


def test_every_one_has_the_five_fields_and_a_readable_slug() -> None:
    assert {tuple(trace) for trace in DISTRACTORS} == {("slug", "title", "context", "solution", "tags")}
    slugs = [trace["slug"] for trace in DISTRACTORS]
    assert [slug for slug in slugs if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)] == []


def test_rivals_come_in_pairs_one_confirmed_and_one_voted_down() -> None:
    fields = ("slug", "title", "context", "solution", "tags", "up_votes", "down_votes")
    assert {tuple(trace) for trace in RIVALS} == {fields}
    for confirmed, other in zip(RIVALS[::2], RIVALS[1::2], strict=True):
        assert set(other["tags"]) <= set(confirmed["tags"])
        assert confirmed["up_votes"] > confirmed["down_votes"]
        assert other["up_votes"] < other["down_votes"]


def test_the_service_would_take_every_one() -> None:
    refused = {
        trace["slug"]: wrong for trace in (*DISTRACTORS, *RIVALS) if (wrong := list(create_trace(_request(trace))))
    }
    assert refused == {}


def test_tags_are_already_canonical() -> None:
    for trace in (*DISTRACTORS, *RIVALS):
        assert 1 <= len(trace["tags"]) <= limits.TAGS, trace["slug"]
        assert sorted(trace["tags"]) == normalise_all(trace["tags"]), trace["slug"]


# Titles, too: the benchmark recognises by them what it found.
@pytest.mark.parametrize("field", ["slug", "title", "context", "solution"])
def test_no_two_traces_share_a_text(field: str) -> None:
    texts = Counter(
        " ".join(trace[field].casefold().split()) for trace in (*read("sample_traces"), *DISTRACTORS, *RIVALS)
    )
    assert [text for text, count in texts.items() if count > 1] == []


def _request(trace: Mapping[str, Any]) -> CreateTraceRequest:
    return CreateTraceRequest(
        title=trace["title"], context=trace["context"], solution=trace["solution"], tags=trace["tags"]
    )

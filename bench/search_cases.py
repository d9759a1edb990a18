"""The labelled queries and the traces they are asked among: `fixtures/search_cases.json` and its neighbours."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from commontrace.data_files import data_directory

UNANSWERABLE = "unanswerable"
ANSWERABLE = ("paraphrase", "error_message", "keywords")
"""Answered by sample traces."""
EXACT = ("identifier", "error_code")
"""What agents paste of code and logs; answered by any trace."""
NEAR_DUPLICATE = "near_duplicate"
"""Answered by one of two rival traces on the same problem: the one that votes confirm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchCase:
    """A query, and the slugs of the traces that answer it: none where it is unanswerable, else any will do."""

    query: str
    kind: str
    expected: frozenset[str]


def read_search_cases() -> list[SearchCase]:
    """Returns the labelled queries in the order of the file."""
    return [
        SearchCase(query=case["query"], kind=case["kind"], expected=frozenset(case["expected"]))
        for case in read("search_cases")
    ]


def read(name: str) -> list[Mapping[str, Any]]:
    """Returns the objects of a fixture: `sample_traces`, `distractors`, `rival_traces` or `search_cases`."""
    objects: list[Mapping[str, Any]] = json.loads(
        (data_directory("fixtures") / f"{name}.json").read_text(encoding="utf-8")
    )
    return objects

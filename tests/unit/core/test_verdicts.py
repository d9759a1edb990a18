"""Judgement of results that a server gives seldom."""

from dataclasses import replace

from commontrace.core.search.result import SearchResult
from commontrace.core.search.verdicts import judge
from commontrace.domain.search.query import UNFILTERED, Search, StopReason
from commontrace.embeddings.model import RecordedModel
from commontrace.settings import INSTALLED_MODEL

MODEL = RecordedModel(model_id=INSTALLED_MODEL, model_version="53aa51172d14", dimensions=384, is_lexical=False)
OUT_OF_TIME = SearchResult(
    neighbours=[],
    stop_reason=StopReason.SCAN_BUDGET,
    exact=False,
    trace_filter=UNFILTERED,
    model_id=MODEL.model_id,
)


def test_that_nothing_was_found_yet_proves_nothing() -> None:
    search = Search(query="a question", limit=10, min_probability=0.5)
    judged = judge(search, OUT_OF_TIME, MODEL)
    assert (judged.answer_probability, judged.stop_reason) == (None, StopReason.SCAN_BUDGET)
    proven = judge(search, replace(OUT_OF_TIME, exact=True), MODEL)
    assert (proven.answer_probability, proven.stop_reason) == (0.0, StopReason.MIN_PROBABILITY)

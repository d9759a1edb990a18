"""Judgement of results that a server gives seldom."""

from dataclasses import replace

from commontrace.core.search.result import SearchResult
from commontrace.core.search.verdicts import is_improbable, silenced, with_probability
from commontrace.domain.search.query import Search, StopReason
from commontrace.domain.traces.trace_filter import ResolvedFilter, TraceFilter
from commontrace.embeddings.model import RecordedModel
from commontrace.settings import INSTALLED_MODEL
from tests.support.commons import IN_COMMONS

MODEL = RecordedModel(model_id=INSTALLED_MODEL, model_version="53aa51172d14", dimensions=384, is_lexical=False)
OUT_OF_TIME = SearchResult(
    neighbours=[],
    stop_reason=StopReason.SCAN_BUDGET,
    exact=False,
    trace_filter=ResolvedFilter(trace_filter=TraceFilter(), namespaces=IN_COMMONS),
    model_id=MODEL.model_id,
)


def test_that_nothing_was_found_yet_proves_nothing() -> None:
    search = Search(query="a question", limit=10, min_probability=0.5)
    unknown = with_probability(search, OUT_OF_TIME, MODEL)
    assert unknown.answer_probability is None
    assert not is_improbable(search, unknown)
    proven = with_probability(search, replace(OUT_OF_TIME, exact=True), MODEL)
    assert proven.answer_probability == 0.0
    assert is_improbable(search, proven)
    assert silenced(proven).stop_reason is StopReason.MIN_PROBABILITY

from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp

from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.conftest import RunningServer, administer
from tests.contract.search.searched_traces import a_vector, ids_in, store_varied_vectors
from tests.contract.traces.listed_traces import MODELS, START, STATUSES, WITH_UNKNOWN_TAGS, Stored, expected
from tests.contract.traces.test_list_filters import TIMES, WANTED_METADATA, struct, timestamp
from tests.support.builders import hits_of, search

# Of the server that these tests share.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def server(shared_server: RunningServer) -> RunningServer:
    """Shared server: tests only read, or create tags that no other test uses."""
    return shared_server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stored(server: RunningServer) -> list[Stored]:
    """Sixty traces, some with each property."""
    return await store_varied_vectors(server.database, 60)


def filters_of_every_kind(stored: list[Stored]) -> list[TraceFilter]:
    random = Random(3)  # noqa: S311 - not a secret
    contributors = sorted({str(trace.contributor_id) for trace in stored})
    kinds: dict[str, list[Any]] = {
        "tags_all": [["red"], ["red", "blue"]],
        "tags_any": [["red", "Blue"], ["green"]],
        "tags_none": [["red"], ["white", "green"]],
        "statuses": [[status] for status in STATUSES.values()],
        "agent_models": [[model] for model in MODELS],
        "contributor_ids": [contributors[:1], contributors[1:]],
        "create_time_from": [timestamp(TIMES[2]), timestamp(TIMES[6])],
        "create_time_before": [timestamp(TIMES[2]), timestamp(TIMES[6])],
        "metadata": [struct(wanted) for wanted in WANTED_METADATA[1:8]],
        "include_superseded": [True],
        "namespaces": [["commons"], ["team"], ["team", "commons"]],
    }
    assert set(kinds) == set(TraceFilter.DESCRIPTOR.fields_by_name)
    alone = [TraceFilter(**{field: value}) for field, values in kinds.items() for value in values]
    mixed = [
        TraceFilter(**{field: random.choice(kinds[field]) for field in random.sample(list(kinds), 3)})
        for _ in range(40)
    ]
    return [TraceFilter(), *alone, *mixed]


def canonical(asked: TraceFilter) -> TraceFilter:
    """The filter with canonical names, which are all that the reference knows."""
    known = TraceFilter()
    known.CopyFrom(asked)
    known.tags_any[:] = [tag.lower() for tag in asked.tags_any]
    return known


@pytest.mark.parametrize("exact", [False, True], ids=["approximate", "exact"])
async def test_exactly_the_traces_that_pass_are_found(
    server: RunningServer, stored: list[Stored], *, exact: bool
) -> None:
    wrong, enough = [], 0
    for asked in filters_of_every_kind(stored):
        passing = expected(stored, canonical(asked))
        responses = await search(server.traces, embedding=a_vector(), filter=asked, limit=100, exact=exact)
        summary = responses[-1].summary
        if sorted(ids_in(responses)) != sorted(passing) or summary.stop_reason != pb.STOP_REASON_EXHAUSTED:
            wrong.append(str(asked))
        limited = await search(server.traces, embedding=a_vector(), filter=asked, limit=3, exact=exact)
        found = ids_in(limited)
        if not set(found) <= set(passing) or len(found) != min(3, len(passing)):
            wrong.append(f"{asked} with limit")
        enough += len(passing) >= 3
    assert wrong == []
    assert enough > 20


async def test_more_like_this_obeys_the_filter_too(server: RunningServer, stored: list[Stored]) -> None:
    asked = TraceFilter(agent_models=["m"], include_superseded=True)
    passing = expected(stored, asked)
    responses = await search(server.traces, trace_id=passing[0], filter=asked, limit=100)
    assert sorted(ids_in(responses)) == sorted(passing[1:])
    outside = next(trace_id for trace_id in expected(stored, TraceFilter()) if trace_id not in passing)
    responses = await search(server.traces, trace_id=outside, filter=asked, limit=100)
    assert sorted(ids_in(responses)) == sorted(passing)


async def test_a_time_between_two_microseconds(server: RunningServer, stored: list[Stored]) -> None:
    between = timestamp(START)
    between.nanos += 1
    since = await search(server.traces, embedding=a_vector(), filter=TraceFilter(create_time_from=between), limit=100)
    until = await search(server.traces, embedding=a_vector(), filter=TraceFilter(create_time_before=between), limit=100)
    current = {trace.id: trace.created_at for trace in stored if not trace.is_deleted and not trace.is_superseded}
    assert set(ids_in(since)) == {str(trace_id) for trace_id, time in current.items() if time > START}
    assert set(ids_in(until)) == {str(trace_id) for trace_id, time in current.items() if time <= START}
    assert ids_in(since)
    assert ids_in(until)


async def test_the_edges_of_time(server: RunningServer, stored: list[Stored]) -> None:
    last = Timestamp(seconds=253_402_300_799, nanos=999_999_999)
    first = timestamp(datetime(1, 1, 1, tzinfo=UTC))
    always = TraceFilter(create_time_from=first, create_time_before=last)
    responses = await search(server.traces, embedding=a_vector(), filter=always, limit=100)
    assert sorted(ids_in(responses)) == sorted(expected(stored, TraceFilter()))
    never = TraceFilter(create_time_from=last)
    assert hits_of(await search(server.traces, embedding=a_vector(), filter=never)) == []


async def test_aliases_stand_for_their_tags(
    server: RunningServer, stored: list[Stored], shared_database_url: str
) -> None:
    for alias in ("rot", "rouge"):
        await administer(
            shared_database_url,
            f"INSERT INTO tag_aliases SELECT '{alias}', id FROM tags WHERE name = 'red'",  # noqa: S608 - our own name
        )
    for field in ("tags_all", "tags_any", "tags_none"):
        asked, by_name = TraceFilter(), TraceFilter()
        getattr(asked, field).extend(["rot", "Rouge", "red"])
        getattr(by_name, field).append("red")
        responses = await search(server.traces, embedding=a_vector(), filter=asked, limit=100)
        assert sorted(ids_in(responses)) == sorted(expected(stored, by_name))
        assert list(responses[-1].summary.unknown_tags) == []


async def test_tags_that_do_not_exist_match_nothing_and_are_named(server: RunningServer, stored: list[Stored]) -> None:
    for name, (asked, same_as) in WITH_UNKNOWN_TAGS.items():
        responses = await search(server.traces, embedding=a_vector(), filter=asked, limit=100)
        summary = responses[-1].summary
        assert list(summary.unknown_tags) == ["aa", "zz"], name
        assert sorted(ids_in(responses)) == ([] if same_as is None else sorted(expected(stored, same_as))), name
        assert (summary.stop_reason, summary.exact) == (pb.STOP_REASON_EXHAUSTED, True), name
        assert responses[-1].resume_token == "", name


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("least", [-1.0, 0.0, 0.5, 1.0])
async def test_every_hit_is_similar_enough(server: RunningServer, least: float) -> None:
    everything = await search(server.traces, embedding=a_vector(), limit=100, exact=True)
    wanted = [hit.trace.id for hit in hits_of(everything) if hit.similarity >= least]
    responses = await search(server.traces, embedding=a_vector(), limit=100, min_similarity=least)
    assert ids_in(responses) == wanted
    reason = pb.STOP_REASON_EXHAUSTED if len(wanted) == len(hits_of(everything)) else pb.STOP_REASON_MIN_SIMILARITY
    assert responses[-1].summary.stop_reason == reason
    assert responses[-1].resume_token == ""


@pytest.mark.usefixtures("stored")
async def test_the_least_similarity_may_be_that_of_a_hit(server: RunningServer) -> None:
    everything = hits_of(await search(server.traces, embedding=a_vector(), limit=100, exact=True))
    third = everything[2]
    responses = await search(server.traces, embedding=a_vector(), limit=100, min_similarity=third.similarity)
    assert ids_in(responses) == [hit.trace.id for hit in everything[:3]]
    assert responses[-1].summary.stop_reason == pb.STOP_REASON_MIN_SIMILARITY
    enough = await search(server.traces, embedding=a_vector(), limit=3, min_similarity=third.similarity)
    assert enough[-1].summary.stop_reason == pb.STOP_REASON_LIMIT


@pytest.mark.usefixtures("stored")
async def test_exact_compares_every_trace(server: RunningServer) -> None:
    for exact in (False, True):
        responses = await search(server.traces, embedding=a_vector(), limit=3, exact=exact)
        assert responses[-1].summary.exact == exact
        assert responses[-1].summary.stop_reason == pb.STOP_REASON_LIMIT

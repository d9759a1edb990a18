from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.conftest import RunningServer, administer
from tests.contract.traces.listed_traces import (
    EMAILS,
    METADATA,
    MODELS,
    NAMESPACES,
    START,
    STATUSES,
    TAGS,
    WITH_UNKNOWN_TAGS,
    Stored,
    expected,
    store_varied,
)

# Of the server that these tests share.
pytestmark = pytest.mark.asyncio(loop_scope="module")

BOB = (("x-commontrace-user", "bob@example.org"),)
TIMES = [START + timedelta(microseconds=offset) for offset in (-1, 0, 1, 2, 3, 10**6, 10**6 + 1, 10**9, 10**9 + 1)]
WANTED_METADATA: list[dict[str, Any]] = [
    *METADATA,
    {"n": 1.0},
    {"n": 1.25},
    {"N": 1},
    {"list": [2]},
    {"list": [2, 2, 1]},
    {"list": 1},
    {"list": [{"x": "y"}]},
    {"list": [{}]},
    {"list": [[2]]},
    {"list": ["1", 1]},
    {"deep": {"a": {}}},
    {"deep": {"a": {"c": None}}},
    {"deep": {"a": {"b": 1}}},
    {"deep": {"b": True}},
    {"deep": [], "n": 1},
]


@pytest.fixture(scope="module")
def server(shared_server: RunningServer) -> RunningServer:
    """Shared: tests only read, but for names of tags that no other test asks for."""
    return shared_server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stored(server: RunningServer) -> list[Stored]:
    """Sixty traces, among them some of every kind."""
    return await store_varied(server.database, 60, Random(1))  # noqa: S311 - not a secret


async def listed(server: RunningServer, asked: TraceFilter, **fields: Any) -> list[str]:
    request = pb.ListTracesRequest(filter=asked, page_size=500, **fields)
    response = await server.traces.ListTraces(request, metadata=BOB)
    assert response.next_page_token == ""
    return [trace.id for trace in response.traces]


async def differences(server: RunningServer, stored: list[Stored], filters: list[TraceFilter]) -> list[str]:
    """Where the server lists something else than the contract says."""
    assert len({len(expected(stored, asked)) for asked in filters}) > 1  # they tell something apart
    return [
        str(asked)
        for asked in filters
        if await listed(server, asked) != expected(stored, asked)
        or await listed(server, asked, show_deleted=True) != expected(stored, asked, owner="bob@example.org")
    ]


def asking(**fields: Any) -> TraceFilter:
    return TraceFilter(**fields)


def struct(value: dict[str, Any]) -> Struct:
    made = Struct()
    made.update(value)
    return made


def timestamp(time: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(time)
    return made


async def test_nothing_asked_lists_every_live_trace_that_no_other_replaces(
    server: RunningServer, stored: list[Stored]
) -> None:
    current = {str(trace.id) for trace in stored if not trace.is_deleted and not trace.is_superseded}
    assert set(await listed(server, TraceFilter())) == current
    with_superseded = {str(trace.id) for trace in stored if not trace.is_deleted}
    assert set(await listed(server, TraceFilter(include_superseded=True))) == with_superseded
    assert current < with_superseded < {str(trace.id) for trace in stored}


@pytest.mark.parametrize("field", ["tags_all", "tags_any", "tags_none"])
async def test_tags(server: RunningServer, stored: list[Stored], field: str) -> None:
    wanted = [["red"], ["red", "blue"], ["green", "blue", "white"], list(TAGS), ["Red ", "RED"]]
    filters = [asking(**{field: tags}) for tags in wanted]
    # The reference knows canonical names only.
    canonical = [asking(**{field: [tag.strip().lower() for tag in tags]}) for tags in wanted]
    assert [await listed(server, asked) for asked in filters] == [expected(stored, asked) for asked in canonical]
    assert await differences(server, stored, canonical) == []


async def test_aliases_stand_for_their_tags(
    server: RunningServer, stored: list[Stored], shared_database_url: str
) -> None:
    await administer(
        shared_database_url,
        "INSERT INTO tag_aliases (name, tag_id)"
        " SELECT alias, id FROM tags, unnest(ARRAY['rot', 'rouge']) alias WHERE tags.name = 'red'",
    )
    for field in ("tags_all", "tags_any", "tags_none"):
        by_name = expected(stored, asking(**{field: ["red"]}))
        assert by_name
        for spellings in (["rot"], ["Rouge", "rot"], ["red", "rouge"]):
            assert await listed(server, asking(**{field: spellings})) == by_name
    both = expected(stored, TraceFilter(tags_all=["red", "green"]))
    assert await listed(server, TraceFilter(tags_all=["rot", "green", "red"])) == both


async def test_tags_that_do_not_exist_match_nothing_and_are_named(server: RunningServer, stored: list[Stored]) -> None:
    for name, (asked, same_as) in WITH_UNKNOWN_TAGS.items():
        response = await server.traces.ListTraces(pb.ListTracesRequest(filter=asked, page_size=500))
        assert list(response.unknown_tags) == ["aa", "zz"], name
        wanted = [] if same_as is None else expected(stored, same_as)
        assert [trace.id for trace in response.traces] == wanted, name
    known = await server.traces.ListTraces(pb.ListTracesRequest(filter=TraceFilter(tags_any=["red"])))
    assert list(known.unknown_tags) == []


async def test_statuses_models_and_contributors(server: RunningServer, stored: list[Stored]) -> None:
    contributors = sorted({str(trace.contributor_id) for trace in stored})
    assert len(contributors) == len(EMAILS)
    filters = [
        *(asking(statuses=statuses) for statuses in ([1], [2], [1, 2], [2, 2])),
        *(TraceFilter(agent_models=models) for models in ([""], ["m"], ["M", "m-2"], ["nobody"], list(MODELS))),
        *(TraceFilter(contributor_ids=ids) for ids in (contributors[:1], contributors[1:], contributors)),
    ]
    assert await differences(server, stored, filters) == []
    in_capitals = TraceFilter(contributor_ids=[contributors[0].upper()])
    assert await listed(server, in_capitals) == expected(stored, TraceFilter(contributor_ids=contributors[:1]))
    nobody = TraceFilter(contributor_ids=["123e4567-e89b-12d3-a456-426614174000"])
    assert await listed(server, nobody) == []


async def test_namespaces(server: RunningServer, stored: list[Stored]) -> None:
    filters = [asking(namespaces=names) for names in (["commons"], ["team"], ["team", "commons"], ["team", "team"])]
    assert await differences(server, stored, filters) == []
    assert expected(stored, filters[1])
    assert expected(stored, filters[1]) != expected(stored, filters[2]) == expected(stored, TraceFilter())


async def test_times_to_the_microsecond(server: RunningServer, stored: list[Stored]) -> None:
    filters = [
        *(TraceFilter(create_time_from=timestamp(time)) for time in TIMES),
        *(TraceFilter(create_time_before=timestamp(time)) for time in TIMES),
        *(
            TraceFilter(create_time_from=timestamp(since), create_time_before=timestamp(until))
            for since, until in pairwise(TIMES)
        ),
    ]
    assert await differences(server, stored, filters) == []
    edges = (timestamp(datetime.min), timestamp(datetime.max))  # noqa: DTZ901 - the contract's own edges
    always = TraceFilter(create_time_from=edges[0], create_time_before=edges[1])
    assert await listed(server, always) == expected(stored, TraceFilter())
    assert await listed(server, TraceFilter(create_time_from=edges[1])) == []


async def test_metadata_contains(server: RunningServer, stored: list[Stored]) -> None:
    filters = [TraceFilter(metadata=struct(wanted)) for wanted in WANTED_METADATA]
    assert await differences(server, stored, filters) == []


def mixed(stored: list[Stored], random: Random) -> Iterator[TraceFilter]:
    """Filters of some fields each."""
    contributors = sorted({str(trace.contributor_id) for trace in stored})
    choices: dict[str, Any] = {
        "tags_all": lambda: random.sample(TAGS, 1),
        "tags_any": lambda: random.sample(TAGS, random.randint(1, 3)),
        "tags_none": lambda: random.sample(TAGS, 1),
        "statuses": lambda: [random.choice(list(STATUSES.values()))],
        "agent_models": lambda: random.sample(MODELS, 2),
        "contributor_ids": lambda: random.sample(contributors, 2),
        "create_time_from": lambda: timestamp(random.choice(TIMES)),
        "create_time_before": lambda: timestamp(random.choice(TIMES)),
        "metadata": lambda: struct(random.choice(WANTED_METADATA)),
        "include_superseded": lambda: True,
        "namespaces": lambda: random.sample(NAMESPACES, random.randint(1, 2)),
    }
    assert set(choices) == set(TraceFilter.DESCRIPTOR.fields_by_name)
    for _ in range(150):
        fields = random.sample(list(choices), random.randint(1, 4))
        yield asking(**{field: choices[field]() for field in fields})


async def test_every_field_that_is_set_counts(server: RunningServer, stored: list[Stored]) -> None:
    filters = list(mixed(stored, Random(2)))  # noqa: S311 - not a secret
    assert sum(bool(expected(stored, asked)) for asked in filters) > 50
    assert await differences(server, stored, filters) == []

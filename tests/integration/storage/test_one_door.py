"""One door: every statement of a call over what lives in a namespace is limited to namespaces (ADR 0061)."""

import inspect
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, get_type_hints
from unittest.mock import Mock, patch
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Uuid, bindparam, select

from commontrace.domain.namespaces.access import ReadableNamespaces
from commontrace.domain.search.neighbours import NeighbourQuery
from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.embeddings.embedder import Embedder
from commontrace.storage.models import Trace
from commontrace.storage.traces import repository
from commontrace.storage.unit_of_work import Reading
from commontrace.v1 import tag_service_pb2, trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.contract.calls import METHODS
from tests.contract.errors.error_row import CREATE, DELETE, IMPORT, LIST, LIST_TAGS, REVISIONS, SEARCH, UPDATE
from tests.contract.imports.imports import a_record, message
from tests.contract.namespaces.answers import ask
from tests.contract.namespaces.seats import SEATS, WALLED, Seat
from tests.contract.namespaces.ways import WAYS
from tests.contract.namespaces.world import World, gateway, world
from tests.integration.storage.sent_statements import OUTSIDE, is_through_the_door, pattern_of, statements_of_calls
from tests.support.builders import a_contribution

# What is sent is the same to every Postgres.
on_the_newest = pytest.mark.parametrize("postgres_version", ["18"], indirect=True, scope="session")

# One who may read some namespaces, and one who may read all: their statements differ.
_MODERATOR, _ADMIN = (seat for seat in SEATS if seat.name in {"moderator", "admin"})

_OF_NO_NAMESPACE = {
    "users": "users belong to no namespace",
    "keys": "keys belong to no namespace",
    "namespaces": "ids come from the caller's access",
    "members": "ids come from the caller's access",
    "namespace_access": "makes the access",
    "idempotency": "answers keep their namespaces: rpc/idempotency.py",
    "imports": "ledgers keep their namespaces: core/imports/service.py",
    "embedding_models": "models belong to no namespace",
    "encoding_jobs": "the queue of the service itself",
    "vector_index": "the state of the index, which is one for all namespaces",
}
_WITHOUT = {
    ("tags", "get_ids"): "ids of names that a write attaches; the caller sends the names",
    ("traces", "get_id_by_content"): "takes the id of the namespace",
    ("traces", "get_existing_ids"): "of the seed, which is the service's own",
    ("traces", "list_seeds"): "of the seed, which is the service's own",
    ("events", "get_retained"): "the age of the oldest event, of which nothing is shown",
    ("vector_sample", "estimate_trace_count"): "of the probe of the index's recall, which shows a number",
    ("vector_sample", "find_random"): "of the probe of the index's recall, which shows a number",
    ("votes", "count_traces"): "of a recount, for the operator",
    ("votes", "list_trace_ids"): "of a recount, for the operator",
}


@pytest.fixture
async def built(database_url: str, embedder: Embedder) -> AsyncIterator[tuple[World, set[Any]]]:
    """The world of the matrix, and the statements of calls so far."""
    with statements_of_calls() as sent:
        async with gateway(database_url, embedder) as served, world(served) as made:
            yield made, sent


@on_the_newest
async def test_every_statement_of_a_call_is_limited_to_namespaces(built: tuple[World, set[Any]]) -> None:
    made, sent = built
    for way in WAYS:
        for seat in (_MODERATOR, _ADMIN):
            subject = await made.subject(way.subject, seat, namespace=way.in_namespace)
            await ask(made.gateway.channel, way.rpc, way.request(subject, seat), made.key(seat))
    await _narrow_calls(made)
    assert {statement.rpc for statement in sent} == set(METHODS)
    outside = {statement for statement in sent if not is_through_the_door(statement.sql)}
    assert sorted(statement for statement in outside if pattern_of(statement) is None) == []
    assert {pattern_of(statement) for statement in outside} == set(OUTSIDE)


async def _narrow_calls(made: World) -> None:
    """Calls with filters and on further pages, whose statements are others."""
    metadata = Struct()
    metadata.update({"language": "python"})
    narrow = TraceFilter(
        namespaces=[WALLED],
        statuses=[trace_pb2.TRACE_STATUS_PENDING],
        agent_models=["a-model"],
        create_time_from=Timestamp(seconds=1),
        metadata=metadata,
        include_superseded=True,
    )
    for seat in (_MODERATOR, _ADMIN):
        key, channel = made.key(seat), made.gateway.channel
        for ranking in pb.Ranking.values():
            searched = pb.SearchTracesRequest(text="an error", filter=narrow, ranking=ranking, min_similarity=0.1)
            await ask(channel, SEARCH, searched, key)
        await ask(channel, LIST, pb.ListTracesRequest(filter=narrow, view=trace_pb2.TRACE_VIEW_FULL), key)
        listed = pb.ListTracesRequest(page_size=1)
        [page] = (await ask(channel, LIST, listed, key)).responses
        listed.page_token = page.next_page_token  # type: ignore[attr-defined] # which pages have
        await ask(channel, LIST, listed, key)
        tags = tag_service_pb2.ListTagsRequest(page_size=1, curated_only=False)
        [page] = (await ask(channel, LIST_TAGS, tags, key)).responses
        tags.page_token = page.next_page_token  # type: ignore[attr-defined] # which pages have
        await ask(channel, LIST_TAGS, tags, key)
        await _edits(made, seat)


async def _edits(made: World, seat: Seat) -> None:
    """Changes of texts and tags, and traces that replace others."""
    ask_for = partial(ask, made.gateway.channel, metadata=made.key(seat))
    first, second, third = [await made.subject("own", seat) for _ in range(3)]
    edited = trace_pb2.Trace(id=first.trace_id, title="Another title", tags=["another"])
    await ask_for(UPDATE, pb.UpdateTraceRequest(trace=edited, update_mask=FieldMask(paths=["title", "tags"])))
    for replaced in (first, second):
        texts = a_contribution(title=f"Instead of {replaced.word}", supersedes_trace_id=replaced.trace_id)
        texts.namespace = WALLED
        [created] = (await ask_for(CREATE, texts)).responses
        await ask_for(DELETE, pb.DeleteTraceRequest(trace_id=created.created.id))  # type: ignore[attr-defined] # it has
    record = a_record(title=f"Instead of {third.word}", supersedes_trace_id=third.trace_id, namespace=WALLED)
    await ask_for(IMPORT, message([record, a_record(title=third.word)], import_id=str(uuid4())))


@on_the_newest
async def test_a_statement_without_the_condition_is_found(built: tuple[World, set[Any]]) -> None:
    made, sent = built
    subject = await made.subject("live", _MODERATOR)
    unlimited = select(Trace.id).where(Trace.id == bindparam("of_trace", type_=Uuid), Trace.deleted_at.is_(None))
    request = pb.ListTraceRevisionsRequest(trace_id=subject.trace_id)
    with patch.object(repository, "_LIVE_ID", unlimited):
        await ask(made.gateway.channel, REVISIONS, request, made.key(_MODERATOR))
    outside = [one.sql for one in sent if not is_through_the_door(one.sql) and pattern_of(one) is None]
    assert len(outside) == 1
    assert outside[0].startswith("SELECT traces.id")


@pytest.mark.parametrize(
    ("sql", "is_limited"),
    [
        ("SELECT 1", True),
        ("INSERT INTO votes (id) VALUES ($1)", True),
        ("SELECT id FROM traces WHERE namespace_id = ANY ($1::UUID[])", True),
        ("SELECT id FROM trace_tags, trace_signs WHERE trace_signs.namespace_id = ANY ($1)", True),
        ("SELECT traces.id, traces.namespace_id FROM traces", False),
        ("SELECT id FROM trace_tags, trace_signs WHERE true", False),
        ("SELECT count(*) FROM tags JOIN trace_words ON true", False),
        ('UPDATE "traces" SET title = $1', False),
        ("SELECT 1 FROM traces JOIN namespaces ON traces.namespace_id = namespaces.id", False),
    ],
)
def test_what_counts_as_limited(sql: str, *, is_limited: bool) -> None:
    assert is_through_the_door(sql) == is_limited


def test_every_reader_of_what_lives_in_a_namespace_is_told_which() -> None:
    reading, kinds = Reading(Mock()), (ReadableNamespaces, ResolvedFilter, NeighbourQuery)
    untold = {
        (name, method)
        for name, reader in vars(reading).items()
        if name not in _OF_NO_NAMESPACE
        for method, function in inspect.getmembers(type(reader), inspect.isfunction)
        if not method.startswith("_") and not set(kinds) & set(get_type_hints(function).values())
    }
    assert untold == set(_WITHOUT)
    assert set(_OF_NO_NAMESPACE) < set(vars(reading))

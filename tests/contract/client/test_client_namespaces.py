"""The client in namespaces: what it stores, finds, imports, watches and promotes there."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from commontrace.client import (
    AlreadyExists,
    Client,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    TraceFilter,
    connect,
    sync,
)
from commontrace.core.keys import service as key_service
from commontrace.domain.scopes import OF_AN_AGENT, Scope
from commontrace.storage.namespaces import enabling
from commontrace.v1 import namespace_pb2
from tests.conftest import RunningServer, ServerFactory, server_settings
from tests.contract.imports.imports import a_record, outcomes
from tests.faults.harness.proxy import proxy_before, random_allowances
from tests.support.keys import a_key

OF_A_USER = frozenset(Scope) - {Scope.TRACES_ADMIN}
"""With traces:admin, a caller owns every namespace."""
BOB = "bob@example.org"
TEXTS = ("A lamp flickers", "It does so every evening", "Change the bulb")


@pytest.fixture
async def keyed(start_server: ServerFactory, database_url: str) -> AsyncIterator[RunningServer]:
    """A server that asks for keys, on a database with namespaces."""
    await enabling.enable(database_url)
    async with start_server(settings=server_settings(authentication="keys")) as running:
        yield running


@pytest.fixture
async def ada(keyed: RunningServer) -> AsyncIterator[Client]:
    async with connected(keyed, "ada@example.org") as client:
        yield client


@pytest.fixture
async def bob(keyed: RunningServer) -> AsyncIterator[Client]:
    async with connected(keyed, BOB) as client:
        yield client


@pytest.fixture
def allowances(record_property: Callable[[str, object], None]) -> Iterator[int]:
    """Bytes of responses after which a connection is cut: a few messages each."""
    return random_allowances(record_property, 3_000, 20_000)


@asynccontextmanager
async def connected(keyed: RunningServer, email: str) -> AsyncIterator[Client]:
    key = await a_key(keyed.database, email, OF_A_USER)
    async with connect(keyed.address, key=key.text, deadline=30) as client:
        yield client


async def test_a_namespace_from_its_beginning_to_its_end(ada: Client, bob: Client) -> None:
    created = await ada.create_namespace("team", description="What our team learned")
    assert (created.name, created.description, created.trace_count) == ("team", "What our team learned", 0)
    assert created.visibility == namespace_pb2.NAMESPACE_VISIBILITY_PRIVATE
    assert created.my_role == namespace_pb2.NAMESPACE_ROLE_OWNER
    assert await ada.get_namespace("team") == created
    with pytest.raises(AlreadyExists) as failure:
        await ada.create_namespace("team")
    assert (failure.value.reason, failure.value.metadata) == ("NAMESPACE_EXISTS", {"namespace": "team"})
    with pytest.raises(InvalidArgument) as invalid:
        await ada.create_namespace("Our team")
    assert invalid.value.reason == "INVALID_NAMESPACE"
    with pytest.raises(NotFound) as hidden:
        await bob.get_namespace("team")
    assert hidden.value.reason == "NAMESPACE_NOT_FOUND"
    opened = await ada.update_namespace("team", visibility="readable", etag=created.etag)
    assert (opened.visibility, opened.description) == (
        namespace_pb2.NAMESPACE_VISIBILITY_READABLE,
        "What our team learned",
    )
    assert (await bob.get_namespace("team")).my_role == namespace_pb2.NAMESPACE_ROLE_READER
    with pytest.raises(PermissionDenied) as forbidden:
        await bob.update_namespace("team", description="Ours")
    assert forbidden.value.reason == "NAMESPACE_FORBIDDEN"
    assert forbidden.value.metadata == {"namespace": "team", "role": "READER", "needed_role": "OWNER"}
    trace = (await ada.contribute(*TEXTS, namespace="team")).created
    with pytest.raises(FailedPrecondition) as filled:
        await ada.delete_namespace("team")
    assert (filled.value.reason, filled.value.metadata["trace_count"]) == ("NAMESPACE_NOT_EMPTY", "1")
    assert trace.namespace == "team"
    await ada.create_namespace("empty")
    await ada.delete_namespace("empty")
    assert [namespace.name async for namespace in ada.list_namespaces(page_size=1)] == ["commons", "team"]


async def test_members_come_and_go(ada: Client, bob: Client) -> None:
    await ada.create_namespace("team")
    member = await ada.set_member("team", BOB, "reader")
    assert (member.email, member.role) == (BOB, namespace_pb2.NAMESPACE_ROLE_READER)
    with pytest.raises(PermissionDenied):
        await bob.contribute(*TEXTS, namespace="team")
    assert (await ada.set_member("team", BOB, "writer")).role == namespace_pb2.NAMESPACE_ROLE_WRITER
    assert (await bob.contribute(*TEXTS, namespace="team")).created.namespace == "team"
    members = [member.email async for member in ada.list_members("team", page_size=1)]
    assert members == ["ada@example.org", BOB]
    assert (await ada.remove_member("team", BOB)).email == BOB
    for call, reason in (
        (ada.remove_member("team", BOB), "MEMBER_NOT_FOUND"),
        (ada.set_member("team", "nobody@example.org", "reader"), "USER_NOT_FOUND"),
        (bob.contribute(*TEXTS, namespace="team"), "NAMESPACE_NOT_FOUND"),
    ):
        with pytest.raises(NotFound) as failure:
            await call
        assert failure.value.reason == reason
    with pytest.raises(FailedPrecondition) as last:
        await ada.remove_member("team", "ada@example.org")
    assert last.value.reason == "LAST_OWNER"


async def test_what_is_in_a_namespace_is_found_there_alone(ada: Client, bob: Client) -> None:
    await ada.create_namespace("team")
    private = (await ada.contribute(*TEXTS, namespace="team")).created
    public = (await ada.contribute(*TEXTS)).created
    assert (private.namespace, public.namespace) == ("team", "commons")
    only = TraceFilter(namespaces=["team"])
    assert {hit.trace.id for hit in await ada.search("a lamp flickers")} == {private.id, public.id}
    found = await ada.search("a lamp flickers", filter=only)
    assert [hit.trace.id for hit in found] == [private.id]
    assert list(found.summary.searched_namespaces) == ["team"]
    assert [trace.id async for trace in ada.list(only)] == [private.id]
    assert [record.id async for record in ada.export_traces(only)] == [private.id]
    assert [hit.trace.id for hit in await bob.search("a lamp flickers")] == [public.id]
    with pytest.raises(NotFound) as failure:
        await bob.search("a lamp flickers", filter=only)
    assert failure.value.reason == "NAMESPACE_NOT_FOUND"


async def test_a_trace_is_promoted_once(ada: Client) -> None:
    await ada.create_namespace("team")
    trace = (await ada.contribute(*TEXTS, tags=["lamp"], namespace="team")).created
    promoted = await ada.promote_trace(trace.id, "commons")
    copy = promoted.created
    assert (copy.namespace, copy.promoted_from_trace_id, list(copy.tags)) == ("commons", trace.id, ["lamp"])
    again = await ada.promote_trace(trace.id, "commons")
    assert (again.WhichOneof("outcome"), again.existing.id) == ("existing", copy.id)


async def test_an_import_goes_into_one_namespace_over_broken_connections(
    keyed: RunningServer, ada: Client, allowances: Iterator[int]
) -> None:
    await ada.create_namespace("team")
    await ada.create_namespace("web")
    key = (await a_key(keyed.database, "ada@example.org", OF_A_USER)).text
    count = 1000

    async with (
        proxy_before(keyed.address, allowances) as proxy,
        connect(proxy.address, key=key, deadline=60) as cut_off,
    ):
        records = (a_record(number, context="x" * 2000, namespace="web") for number in range(count))
        results = [result async for result in cut_off.import_traces(records, namespace="team")]
    assert proxy.cuts
    assert outcomes(results) == ["created"] * count
    assert ((await ada.get_namespace("team")).trace_count, (await ada.get_namespace("web")).trace_count) == (count, 0)


async def test_records_say_where_they_belong(ada: Client) -> None:
    await ada.create_namespace("team")
    names = ("team", "", "absent")
    records = [a_record(number, namespace=name) for number, name in enumerate(names)]
    results = [result async for result in ada.import_traces(records)]
    assert outcomes(results)[:2] == ["created", "created"]
    assert results[2].error.message.startswith("NAMESPACE_NOT_FOUND: ")
    stored = await ada.get_many([result.created_trace_id for result in results[:2]])
    assert [trace.namespace if trace else "" for trace in stored] == ["team", "commons"]


async def test_a_watch_of_some_namespaces(keyed: RunningServer, ada: Client) -> None:
    for name in ("team", "web"):
        await ada.create_namespace(name)
    async with ada.watch(namespaces=["team", "web"]) as changes:
        ids = [(await ada.contribute(*TEXTS, namespace=name)).created.id for name in ("commons", "team", "web")]
        events = [await anext(changes) for _ in range(2)]
    assert [(event.trace_id, event.namespace) for event in events] == [(ids[1], "team"), (ids[2], "web")]
    key = (await a_key(keyed.database, "ada@example.org", OF_A_USER)).text

    def watch(*namespaces: str) -> str:
        with (
            sync.connect(keyed.address, key=key) as blocking,
            blocking.watch(changes.resume_token, namespaces=namespaces) as stream,
        ):
            return next(stream).namespace

    for trace_id in ids:
        await ada.delete(trace_id)
    assert await asyncio.to_thread(watch, "web", "team") == "team"
    # A token is a position among all events.
    assert await asyncio.to_thread(watch, "web") == "web"
    assert await asyncio.to_thread(watch) == "commons"


async def test_a_bound_key_stores_in_its_namespace(keyed: RunningServer, ada: Client) -> None:
    await ada.create_namespace("team")
    async with keyed.database.unit_of_work() as work:
        key = await key_service.create("ada@example.org", OF_AN_AGENT, work, namespaces=["team"])
    async with connect(keyed.address, key=key.text) as bound:
        assert (await bound.contribute(*TEXTS)).created.namespace == "team"
        assert list((await bound.service_info()).caller.bound_namespaces) == ["team"]
        assert [namespace.name async for namespace in bound.list_namespaces()] == ["team"]
        with pytest.raises(NotFound):
            await bound.contribute(*TEXTS, namespace="commons")

"""Defaults: the namespace of a call that names none, one request under both spellings, and servers without keys."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from commontrace.domain.namespaces.namespace import COMMONS, Role
from commontrace.domain.scopes import BEYOND_NAMESPACES, EVERYTHING, Scope
from commontrace.embeddings.embedder import Embedder
from commontrace.v1 import namespace_pb2
from commontrace.v1 import namespace_service_pb2 as pb
from commontrace.v1.trace_service_pb2 import CreateTraceRequest, GetServiceInfoRequest, GetTraceRequest
from tests.contract.callers import ADA, BOB, refused
from tests.contract.imports.imports import a_record, message, outcomes
from tests.contract.namespaces.parties import WALLED, Parties
from tests.contract.namespaces.world import Gateway, a_bound_key, gateway
from tests.support.builders import a_contribution
from tests.support.keys import Metadata

_ANOTHER = "another-garden"
_SCOPES = EVERYTHING - {*BEYOND_NAMESPACES, Scope.TRACES_ADMIN}


async def _bound(both: Parties, *names: str) -> Metadata:
    email = f"bound-to-{len(names)}@example.org"
    key = await a_bound_key(both.gateway.database, email, _SCOPES, names)
    for name in names:
        if name != COMMONS:
            await both.admit(email, Role.WRITER, name)
    return key


async def _import(both: Parties, key: Metadata, **record: Any) -> list[str]:
    request = message([a_record(1, **record)], import_id=str(uuid4()))
    stream = both.gateway.traces.ImportTraces(iter([request]), metadata=key, timeout=20)
    [response] = [response async for response in stream]
    return outcomes(response.results)


async def test_a_trace_without_a_namespace_is_stored_where_the_key_is_bound_to(both: Parties) -> None:
    await both.found(_ANOTHER)
    to_one, to_two = await _bound(both, WALLED), await _bound(both, WALLED, _ANOTHER)
    assert (await both.create(1, both.outsider)).created.namespace == COMMONS
    assert (await both.create(1, to_one)).created.namespace == WALLED
    async with refused("FIELD_REQUIRED", field="namespace"):
        await both.create(2, to_two)
    assert (await both.create(2, to_two, namespace=_ANOTHER)).created.namespace == _ANOTHER
    async with refused("NAMESPACE_NOT_FOUND", namespace=COMMONS):
        await both.create(2, to_one, namespace=COMMONS)
    assert await _import(both, to_one) == ["created"]
    assert await _import(both, to_two) == ["FIELD_REQUIRED"]
    assert await _import(both, to_two, namespace=_ANOTHER) == ["created"]
    rows = await both.gateway.beside.fetch(
        "SELECT name FROM traces JOIN namespaces ON namespaces.id = namespace_id WHERE title LIKE 'Import%' ORDER BY 1"
    )
    assert [row[0] for row in rows] == [_ANOTHER, WALLED]


async def test_a_key_says_what_it_is_bound_to(both: Parties) -> None:
    await both.found(_ANOTHER)
    info = await both.gateway.traces.GetServiceInfo(
        GetServiceInfoRequest(), metadata=await _bound(both, WALLED, _ANOTHER)
    )
    assert sorted(info.caller.bound_namespaces) == [_ANOTHER, WALLED]
    info = await both.gateway.traces.GetServiceInfo(GetServiceInfoRequest(), metadata=both.insider)
    assert list(info.caller.bound_namespaces) == []


async def test_the_default_and_its_name_are_one_request(both: Parties) -> None:
    for key, name in ((both.outsider, COMMONS), (await _bound(both, WALLED), WALLED)):
        request_id = str(uuid4())
        first = await both.create(7, key, request_id=request_id)
        assert await both.create(7, key, request_id=request_id, namespace=name) == first
    async with refused("REQUEST_ID_REUSED", request_id=request_id):
        await both.create(7, key, request_id=request_id, namespace=_ANOTHER)


async def test_a_namespace_that_is_gone_takes_its_name_with_it(both: Parties) -> None:
    await both.found(_ANOTHER)
    key = await _bound(both, _ANOTHER)
    await both.gateway.namespaces.DeleteNamespace(pb.DeleteNamespaceRequest(name=_ANOTHER), metadata=both.root)
    async with refused("NAMESPACE_EXISTS", namespace=_ANOTHER):
        await both.found(_ANOTHER)
    async with refused("NAMESPACE_NOT_FOUND", namespace=_ANOTHER):
        await both.create(1, key)


@pytest.fixture
async def keyless(database_url: str, embedder: Embedder) -> AsyncIterator[Gateway]:
    """A server that asks for no keys."""
    async with gateway(database_url, embedder, authentication="open") as served:
        yield served


async def test_without_keys_everybody_owns_everything(keyless: Gateway) -> None:
    await keyless.namespaces.CreateNamespace(pb.CreateNamespaceRequest(name=WALLED), metadata=ADA)
    created = await keyless.traces.CreateTrace(a_contribution(1, namespace=WALLED), metadata=ADA)
    found = await keyless.namespaces.GetNamespace(pb.GetNamespaceRequest(name=WALLED), metadata=BOB)
    assert found.namespace.my_role == namespace_pb2.NAMESPACE_ROLE_OWNER
    shown = await keyless.traces.GetTrace(GetTraceRequest(trace_id=created.created.id), metadata=BOB)
    assert shown.trace.namespace == WALLED
    member = pb.SetMemberRequest(namespace=WALLED, email="bob@example.org", role=namespace_pb2.NAMESPACE_ROLE_READER)
    await keyless.traces.CreateTrace(CreateTraceRequest(title="a", context="b", solution="c"), metadata=BOB)
    await keyless.namespaces.SetMember(member, metadata=BOB)

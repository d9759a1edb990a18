"""The matrix: every RPC, every way to name a trace, tag, vote or namespace, every kind of caller (ADR 0061).

For who may not read it, the answer is, byte for byte, the one about what does not exist.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest
import pytest_asyncio

from commontrace.domain.namespaces.namespace import Role
from commontrace.embeddings.embedder import Embedder
from tests.contract.calls import METHODS
from tests.contract.namespaces.answers import Answer, ask
from tests.contract.namespaces.seats import ABSENT, SEATS, Seat
from tests.contract.namespaces.way import Way
from tests.contract.namespaces.ways import WAYS
from tests.contract.namespaces.world import GUEST, Subject, World, gateway, set_member, world
from tests.support.keys import Metadata

# Of the server that these tests share.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def built(shared_database_url: str, embedder: Embedder) -> AsyncIterator[World]:
    async with gateway(shared_database_url, embedder) as served, world(served) as made:
        yield made


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.rpc.rpartition('/')[2]}, {way.name}")
async def test_who_may_do_what_and_what_others_are_told(built: World, way: Way) -> None:
    failures, shared = list[str](), dict[str, Subject]()
    for seat in SEATS:
        subject = shared.get(seat.namespace) or await built.subject(way.subject, seat, namespace=way.in_namespace)
        if _leaves_alone(way):
            shared[seat.namespace] = subject
        failures += [f"{seat.name}: {failure}" for failure in await _failures(built, way, seat, subject)]
    assert failures == []


def _leaves_alone(way: Way) -> bool:
    """Whether calls leave the subject as it is, and it is the same for every caller."""
    options = METHODS[way.rpc].GetOptions()
    is_read = options.idempotency_level == options.NO_SIDE_EFFECTS
    return is_read and way.compared_with != "purged" and way.subject in {"live", "deleted", "hidden"}


async def _failures(built: World, way: Way, seat: Seat, subject: Subject) -> list[str]:
    if way.in_namespace:
        # What it names is the namespace, and the trace is where everybody reads.
        subject = replace(subject, namespace=seat.namespace)
    if "guest" in way.subject:
        await set_member(built.gateway, built.admin, subject.namespace, GUEST, Role.READER)
    key = await built.seated(seat)
    answer = await ask(built.gateway.channel, way.rpc, way.request(subject, seat), key)
    failures = list(_wrong_end(way, seat, subject, answer))
    if seat.role is None:
        failures += _told(way, subject, answer)
        failures += await _told_apart(built, way, seat, subject, answer, key)
    return failures


def _wrong_end(way: Way, seat: Seat, subject: Subject, answer: Answer) -> list[str]:
    due, ended = way.end(seat, subject), way.ended(answer)
    if (ended.code, ended.reason) != (due.code, due.reason):
        return [f"ended with {ended.reason} instead of {due.reason}: {answer.text}"]
    if ended.metadata and not due.metadata.items() <= ended.metadata.items():
        return [f"has the metadata {ended.metadata} instead of {due.metadata}"]
    if ended.reason == "OK" and way.shows is not None and seat.name not in way.by_seat:
        is_shown = way.shows(answer.responses, subject)
        is_due = seat.role is not None and not way.name.endswith("across a wall")
        if is_shown != is_due:
            return [f"shows it: {is_shown}"]
    return []


def _told(way: Way, subject: Subject, answer: Answer) -> list[str]:
    """What the caller is told of a trace that it may not read, and has not sent."""
    sent = way.request(subject, SEATS[0]).SerializeToString()
    facts = [subject.trace_id, subject.tag, subject.namespace, *([] if way.sends_texts else [subject.word])]
    is_forbidden = not way.in_namespace
    return [f"is told {fact}" for fact in facts if is_forbidden and fact.encode() not in sent and answer.holds(fact)]


async def _told_apart(built: World, way: Way, seat: Seat, subject: Subject, answer: Answer, key: Metadata) -> list[str]:
    """Where the answer differs from the one about what does not exist."""
    if not way.compared_with:
        return []
    names: dict[str, str] = {}
    request = way.request(subject, seat)
    if way.compared_with == "unknown":
        word = f"w{uuid4().hex[:10]}"
        absent = replace(
            subject, trace_id=str(uuid4()), word=word, tag=f"tag-{word}", namespace=ABSENT[subject.namespace]
        )
        names = {getattr(absent, name): getattr(subject, name) for name in ("trace_id", "tag", "word", "namespace")}
        if way.in_namespace:
            absent = replace(absent, trace_id=subject.trace_id)
        request = way.request(absent, seat)
    else:
        await built.purge(subject.trace_id)
    other = await ask(built.gateway.channel, way.rpc, request, key)
    before, after = answer.with_names({}), other.with_names(names)
    return [] if before == after else [f"tells {way.compared_with} apart: {before} and {after}"]

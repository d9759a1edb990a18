"""Traces of all kinds, stored without encoding them, and what a list of them should be."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

from google.protobuf.json_format import MessageToDict

from commontrace.domain.namespaces.namespace import COMMONS_ID, Visibility
from commontrace.storage.database import Database
from commontrace.v1 import trace_filter_pb2, trace_pb2
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.integration.storage.storing import a_trace, unit_vector

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
TAGS = ("red", "green", "blue", "white")
MODELS = ("", "m", "M", "m-2")
EMAILS = ("ada@example.org", "bob@example.org", "eve@example.org")
NAMESPACES = ("commons", "team")
METADATA: tuple[dict[str, Any], ...] = (
    {},
    {"n": 1},
    {"n": 1.5, "deep": {"a": {"b": True, "c": None}}},
    {"n": "1", "list": [1, 2, {"x": "y", "z": 0}]},
    {"n": True, "list": []},
    {"n": None, "deep": {}, "list": ["1", [1, 2]]},
)
WITH_UNKNOWN_TAGS: dict[str, tuple[TraceFilter, TraceFilter | None]] = {
    "all": (TraceFilter(tags_all=["red", "Zz", "aa"]), None),
    "any": (TraceFilter(tags_any=["zz", "aa"]), None),
    "one of any": (TraceFilter(tags_any=["zz", "red", "aa"]), TraceFilter(tags_any=["red"])),
    "none": (TraceFilter(tags_none=["aa", "zz", "red"]), TraceFilter(tags_none=["red"])),
    "only none": (TraceFilter(tags_none=["aa", "zz"]), TraceFilter()),
}
"""Filters that name the tags aa and zz, which do not exist, and what each comes to; None passes nothing."""
STATUSES = {"pending": trace_pb2.TRACE_STATUS_PENDING, "validated": trace_pb2.TRACE_STATUS_VALIDATED}


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Expected fields of a stored trace."""

    id: UUID
    created_at: datetime
    tags: frozenset[str]
    status: str
    agent_model: str
    email: str
    contributor_id: UUID
    metadata: dict[str, Any]
    is_superseded: bool
    is_deleted: bool
    namespace: str


async def store_varied(database: Database, count: int, random: Random) -> list[Stored]:
    """Stores traces with every mixture of properties; many have the same time, others differ by a microsecond.

    Every third is in a namespace of its own, which only admins read.
    """
    vector = unit_vector(0)
    stored: list[Stored] = []
    async with database.unit_of_work() as work:
        users = {email: await work.users.get_or_create(email) for email in EMAILS}
        await work.tags.get_or_create(TAGS)
        team_id = uuid4()
        await work.namespaces.add(team_id, "team", description="", visibility=Visibility.PRIVATE)
        await work.namespaces.notify()
        for number in range(count):
            email = random.choice(EMAILS)
            trace = Stored(
                id=uuid4(),
                created_at=START + timedelta(microseconds=random.choice([0, 1, 2, 10**6, 10**6 + 1, 10**9])),
                tags=frozenset(random.sample(TAGS, random.randint(0, 3))),
                status=random.choice(list(STATUSES)),
                agent_model=random.choice(MODELS),
                email=email,
                contributor_id=users[email],
                metadata=random.choice(METADATA),
                is_superseded=bool(stored) and random.random() < 0.2,
                is_deleted=random.random() < 0.2,
                namespace=NAMESPACES[number % 3 == 0],
            )
            await work.trace_creation.add(
                a_trace(
                    trace.contributor_id,
                    id=trace.id,
                    embedding=vector,
                    status=trace.status,
                    agent_model=trace.agent_model,
                    metadata=trace.metadata,
                    namespace_id=team_id if trace.namespace == "team" else COMMONS_ID,
                )
            )
            await work.tags.attach(trace.id, sorted(trace.tags))
            changes = {
                "created_at": trace.created_at,
                "superseded_by_id": stored[0].id if trace.is_superseded else None,
                "deleted_at": START if trace.is_deleted else None,
            }
            await work.trace_changes.update(trace.id, changes)
            stored.append(trace)
    return stored


async def store_at(database: Database, times: Iterable[datetime], email: str = EMAILS[0]) -> list[UUID]:
    """Stores plain traces contributed at these times."""
    vector, ids = unit_vector(0), []
    async with database.unit_of_work() as work:
        contributor_id = await work.users.get_or_create(email)
        for time in times:
            trace = a_trace(contributor_id, embedding=vector)
            await work.trace_creation.add(trace)
            await work.trace_changes.update(trace.id, {"created_at": time})
            ids.append(trace.id)
    return ids


def expected(stored: Iterable[Stored], asked: trace_filter_pb2.TraceFilter, *, owner: str | None = None) -> list[str]:
    """The ids of those that match, newest first; with an owner, of theirs, deleted ones too. Knows no aliases."""
    matching = [
        trace
        for trace in stored
        if (not trace.is_deleted if owner is None else trace.email == owner) and matches(trace, asked)
    ]
    matching.sort(key=lambda trace: (trace.created_at, trace.id), reverse=True)
    return [str(trace.id) for trace in matching]


def matches(trace: Stored, asked: trace_filter_pb2.TraceFilter) -> bool:
    """What the contract says of a filter, in other words than SQL."""
    return (
        trace.tags.issuperset(asked.tags_all)
        and (not asked.tags_any or not trace.tags.isdisjoint(asked.tags_any))
        and trace.tags.isdisjoint(asked.tags_none)
        and (not asked.namespaces or trace.namespace in asked.namespaces)
        and (not asked.statuses or STATUSES[trace.status] in asked.statuses)
        and (not asked.agent_models or trace.agent_model in asked.agent_models)
        and (not asked.contributor_ids or str(trace.contributor_id) in asked.contributor_ids)
        and (not asked.HasField("create_time_from") or trace.created_at >= asked.create_time_from.ToDatetime(UTC))
        and (not asked.HasField("create_time_before") or trace.created_at < asked.create_time_before.ToDatetime(UTC))
        and _contains(trace.metadata, MessageToDict(asked.metadata))
        and (asked.include_superseded or not trace.is_superseded)
    )


def _contains(have: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(have, dict) and all(key in have and _contains(have[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(have, list) and all(any(_contains(member, one) for member in have) for one in wanted)
    # True is no number.
    return isinstance(have, bool) == isinstance(wanted, bool) and bool(have == wanted)

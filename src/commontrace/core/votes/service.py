"""Votes: cast and retract, with the trace's standing updated under its lock (ADR 0009)."""

from dataclasses import asdict, dataclass
from uuid import UUID

from commontrace.core.events.trace_events import add_status_event
from commontrace.domain.errors import OwnTrace, RevisionNotCurrent, VoteNotFound
from commontrace.domain.namespaces.access import NamespaceAccess, ReadableNamespaces
from commontrace.domain.namespaces.namespace import Role
from commontrace.domain.traces.locked_trace import LockedTrace
from commontrace.domain.votes.ballot import Ballot
from commontrace.domain.votes.trust import Standing, Tally, standing
from commontrace.storage.keyset import Cursor
from commontrace.storage.unit_of_work import Reading, UnitOfWork
from commontrace.storage.votes.repository import VoteRow


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceStanding:
    """The standing of a trace, by the votes on its current revision."""

    trace_id: UUID
    revision: int
    standing: Standing


async def cast(
    ballot: Ballot, work: UnitOfWork, voter_id: UUID, access: NamespaceAccess, *, validation_threshold: int
) -> tuple[VoteRow, TraceStanding]:
    """Creates or changes the voter's vote. Raises TraceNotFound, NamespaceForbidden, OwnTrace, RevisionNotCurrent."""
    trace = await work.trace_changes.lock_live(ballot.trace_id, access.readable)
    access.require_role(trace.namespace_id, Role.WRITER)
    if voter_id in (trace.contributor_id, *trace.prior_contributor_ids):
        raise OwnTrace(trace.id)
    if ballot.revision not in (None, trace.revision):
        raise RevisionNotCurrent(trace.id, trace.revision)
    vote, tally = await work.votes.save(ballot, voter_id, revision=trace.revision)
    return vote, await _updated(trace, tally, work, validation_threshold=validation_threshold)


async def retract(
    trace_id: UUID, work: UnitOfWork, voter_id: UUID, access: NamespaceAccess, *, validation_threshold: int
) -> TraceStanding:
    """Deletes the voter's vote, whatever revision it is on. Raises TraceNotFound, NamespaceForbidden, VoteNotFound."""
    trace = await work.trace_changes.lock_live(trace_id, access.readable)
    access.require_role(trace.namespace_id, Role.WRITER)
    if not await work.votes.delete(trace_id, voter_id):
        raise VoteNotFound(trace_id)
    tallies = await work.votes.count_votes_of_locked([trace_id])
    return await _updated(trace, tallies.get(trace_id, Tally()), work, validation_threshold=validation_threshold)


async def get_vote(email: str, trace_id: UUID, namespaces: ReadableNamespaces, reading: Reading) -> VoteRow:
    """Returns the user's vote. Raises TraceNotFound, VoteNotFound."""
    await reading.traces.require(trace_id, namespaces)
    voter_id = await reading.users.get_id(email)
    vote = None if voter_id is None else await reading.votes.get(trace_id, voter_id, namespaces)
    if vote is None:
        raise VoteNotFound(trace_id)
    return vote


async def list_votes(
    trace_id: UUID, namespaces: ReadableNamespaces, reading: Reading, *, after: Cursor | None, size: int
) -> list[VoteRow]:
    """Returns at most `size` votes after the position, newest first. Raises TraceNotFound."""
    await reading.traces.require(trace_id, namespaces)
    return await reading.votes.list_newest_first(trace_id, namespaces, after=after, size=size)


async def apply_tally(trace: LockedTrace, tally: Tally, work: UnitOfWork, *, validation_threshold: int) -> Standing:
    """Updates a locked trace to the standing that follows from its votes, and returns it."""
    due = standing(tally, validation_threshold=validation_threshold, is_seed=trace.is_seed)
    # Only a change of status touches the trace and adds an event.
    changes = {name: value for name, value in asdict(due).items() if value != getattr(trace, name)}
    if "status" in changes:
        await work.trace_changes.touch(trace.id, changes)
        await add_status_event(trace, due.status, work, revision=trace.revision)
    elif changes:
        await work.trace_changes.set_tally(trace.id, due)
    return due


async def _updated(trace: LockedTrace, tally: Tally, work: UnitOfWork, *, validation_threshold: int) -> TraceStanding:
    updated = await apply_tally(trace, tally, work, validation_threshold=validation_threshold)
    return TraceStanding(trace_id=trace.id, revision=trace.revision, standing=updated)

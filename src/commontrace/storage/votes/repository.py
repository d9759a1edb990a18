"""Votes on traces, and their tallies (ADR 0009)."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID, uuid4

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CursorResult,
    Uuid,
    any_,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from commontrace.domain.namespaces.access import ReadableNamespaces
from commontrace.domain.votes.ballot import DOWN, UP, Ballot
from commontrace.domain.votes.trust import Tally
from commontrace.storage import keyset
from commontrace.storage.driver_statement import DriverStatement
from commontrace.storage.executor import Executor
from commontrace.storage.models import Trace, Vote
from commontrace.storage.namespaces.readable import READABLE_IDS
from commontrace.storage.transaction import Transaction
from commontrace.storage.users import display_name_of


class VoteRow(NamedTuple):
    """A vote as readers see it."""

    id: UUID
    trace_id: UUID
    voter_id: UUID
    vote_type: str
    reason: str | None
    comment: str
    revision: int
    created_at: datetime
    updated_at: datetime
    voter_name: str


_COLUMNS = (
    *(Vote.__table__.c[name] for name in VoteRow._fields if name != "voter_name"),
    display_name_of("votes.voter_id").label("voter_name"),
)

# Built once: building a statement costs more than running it.
# statement_timestamp(): the transaction may have begun before another vote and waited for it.
_NOW = func.statement_timestamp()
_GIVEN = ("id", "trace_id", "voter_id", "vote_type", "reason", "comment", "revision")
_NEW = insert(Vote.__table__).values({**{name: bindparam(name) for name in _GIVEN}, "updated_at": _NOW})
# The statement does not see its own row.
_OTHERS = f"""
    (SELECT ARRAY[count(*) FILTER (WHERE vote_type = '{UP}'), count(*) FILTER (WHERE vote_type = '{DOWN}')]
    FROM votes AS other
    WHERE trace_id = votes.trace_id AND revision = votes.revision AND voter_id <> votes.voter_id)"""  # noqa: S608 - constants
_SAVE = DriverStatement(
    _NEW.on_conflict_do_update(
        index_elements=[Vote.trace_id, Vote.voter_id],
        set_={name: _NEW.excluded[name] for name in ("vote_type", "reason", "comment", "revision", "updated_at")},
    ).returning(*_COLUMNS, literal_column(_OTHERS, ARRAY(BigInteger)).label("others"))
)
_IS_THE_VOTERS = (
    Vote.trace_id == bindparam("of_trace_id", type_=Uuid),
    Vote.voter_id == bindparam("of_voter_id", type_=Uuid),
)
_DELETE = delete(Vote.__table__).where(*_IS_THE_VOTERS)
_ON_READABLE = exists().where(
    Trace.id == Vote.trace_id,
    Trace.deleted_at.is_(None),
    Trace.namespace_id == READABLE_IDS,
)
_GET = select(*_COLUMNS).where(*_IS_THE_VOTERS, _ON_READABLE)
_TALLIES_ANYWHERE = (
    select(Vote.trace_id, *(func.count().filter(Vote.vote_type == vote_type) for vote_type in (UP, DOWN)))
    .join(Trace, Trace.id == Vote.trace_id)
    .where(Vote.trace_id == any_(bindparam("trace_ids", type_=ARRAY(Uuid))), Vote.revision == Trace.revision)
    .group_by(Vote.trace_id)
)
_IN_NAMESPACES = Trace.namespace_id == READABLE_IDS
_TALLIES = _TALLIES_ANYWHERE.where(_IN_NAMESPACES)


class VoteReader:
    """Read side of the votes: at most one for each trace and voter."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def get_tallies(self, trace_ids: Collection[UUID], namespaces: ReadableNamespaces) -> dict[UUID, Tally]:
        """Returns the counts of votes on the current revision, by trace. Traces without such votes are left out."""
        parameters = {"trace_ids": list(trace_ids), "namespace_ids": namespaces.ids}
        return _tallies(await self._executor.execute(_TALLIES, parameters))

    async def get(self, trace_id: UUID, voter_id: UUID, namespaces: ReadableNamespaces) -> VoteRow | None:
        """Returns the voter's vote on a live trace, or None."""
        parameters = {"of_trace_id": trace_id, "of_voter_id": voter_id, "namespace_ids": namespaces.ids}
        row = (await self._executor.execute(_GET, parameters)).one_or_none()
        return None if row is None else VoteRow._make(row)

    async def list_newest_first(
        self, trace_id: UUID, namespaces: ReadableNamespaces, *, after: keyset.Cursor | None, size: int
    ) -> list[VoteRow]:
        """Returns at most `size` votes on a trace after the cursor, newest first by the time of the first vote."""
        query = select(*_COLUMNS).where(Vote.trace_id == trace_id, _ON_READABLE)
        page = keyset.newest_first(query, Vote.__table__.c.created_at, Vote.__table__.c.id, after=after, size=size)
        rows = await self._executor.execute(page, {"namespace_ids": namespaces.ids})
        return [VoteRow._make(row) for row in rows]

    async def list_trace_ids(self, *, after: UUID | None, size: int) -> Sequence[UUID]:
        """Returns the ids of at most `size` traces after `after`, deleted ones too, in the order of ids."""
        query = select(Trace.id) if after is None else select(Trace.id).where(Trace.id > after)
        return (await self._executor.execute(query.order_by(Trace.id).limit(size))).scalars().all()

    async def count_traces(self) -> int:
        """Returns the number of traces, deleted ones too."""
        return (await self._executor.execute(select(func.count()).select_from(Trace))).scalar_one()


class VoteRepository(VoteReader):
    """Votes in one unit of work."""

    _executor: Transaction

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)

    async def count_votes_of_locked(self, trace_ids: Collection[UUID]) -> dict[UUID, Tally]:
        """Returns the same as `get_tallies` of traces that the transaction has locked, in any namespace."""
        return _tallies(await self._executor.execute(_TALLIES_ANYWHERE, {"trace_ids": list(trace_ids)}))

    async def save(self, ballot: Ballot, voter_id: UUID, *, revision: int) -> tuple[VoteRow, Tally]:
        """Inserts or updates the voter's vote on a locked trace; returns it with the count of all on that revision."""
        vote = {
            "id": uuid4(),
            "trace_id": ballot.trace_id,
            "voter_id": voter_id,
            "vote_type": ballot.vote_type,
            "reason": ballot.reason,
            "comment": ballot.comment,
            "revision": revision,
        }
        [(*columns, (up_count, down_count))] = await self._executor.fetch(_SAVE, vote)
        is_up = ballot.vote_type == UP
        tally = Tally(up_count=up_count + is_up, down_count=down_count + (not is_up))
        return VoteRow._make(columns), tally

    async def delete(self, trace_id: UUID, voter_id: UUID) -> bool:
        """Deletes the voter's vote; returns False if there is none."""
        removed = await self._executor.execute(_DELETE, {"of_trace_id": trace_id, "of_voter_id": voter_id})
        return cast("CursorResult[None]", removed).rowcount == 1


def _tallies(rows: Iterable[Any]) -> dict[UUID, Tally]:
    return {row[0]: Tally(up_count=row[1], down_count=row[2]) for row in rows}

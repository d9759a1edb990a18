"""The service in memory, as the contract describes it: what every call should answer, one at a time."""

from dataclasses import dataclass, field
from math import sqrt
from typing import Any

THRESHOLD = 2
_Z = 1.959963984540054
TEXTS = ("title", "context", "solution")


class Refused(Exception):
    """The reason why a call should fail."""


@dataclass(kw_only=True)
class ModelVote:
    """A vote as it was last cast."""

    type: str
    reason: str
    comment: str
    revision: int


@dataclass(kw_only=True)
class ModelTrace:
    """A trace and everything about it."""

    id: str
    owner: str
    fields: dict[str, Any]
    is_allowed_duplicate: bool
    supersedes: str
    superseded_by: str = ""
    is_deleted: bool = False
    edit: int = 1
    history: list[tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)
    """The texts and what changed, a revision each."""
    votes: dict[str, ModelVote] = field(default_factory=dict)

    @property
    def content(self) -> tuple[str, ...]:
        return tuple(self.fields[name] for name in TEXTS)

    @property
    def revision(self) -> int:
        return len(self.history)

    @property
    def tally(self) -> tuple[int, int]:
        current = [vote.type for vote in self.votes.values() if vote.revision == self.revision]
        return current.count("up"), current.count("down")

    @property
    def status(self) -> str:
        up, down = self.tally
        return "validated" if up >= THRESHOLD and up > down else "pending"

    @property
    def trust(self) -> float:
        up, down = self.tally
        n = up + down
        if n == 0:
            return 0.0
        share = up / n
        centre = share + _Z**2 / (2 * n)
        return (centre - _Z * sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))) / (1 + _Z**2 / n)


class Model:
    """Every trace by its id, and which tag stands for which."""

    def __init__(self) -> None:
        self.traces: dict[str, ModelTrace] = {}
        self.aliases: dict[str, str] = {}
        self.names: set[str] = set()

    def tag(self, spelling: str) -> str:
        name = spelling.lower()
        while name in self.aliases:
            name = self.aliases[name]
        return name

    def tags(self, names: list[str]) -> list[str]:
        return sorted({self.tag(name) for name in names})

    def live(self, trace_id: str) -> ModelTrace:
        trace = self.traces.get(trace_id)
        if trace is None or trace.is_deleted:
            raise Refused("TRACE_NOT_FOUND")
        return trace

    def own(self, trace_id: str, user: str) -> ModelTrace:
        trace = self.live(trace_id)
        if trace.owner != user:
            raise Refused("NOT_OWNER")
        return trace

    def holder_of(self, content: tuple[str, ...]) -> ModelTrace | None:
        """The trace that others of this content are duplicates of."""
        holders = [
            trace
            for trace in self.traces.values()
            if trace.content == content and not trace.is_deleted and not trace.is_allowed_duplicate
        ]
        assert len(holders) <= 1
        return holders[0] if holders else None

    def may_create(self, user: str, fields: dict[str, Any], on_duplicate: str, supersedes: str) -> ModelTrace | None:
        """The trace that is returned instead, None if a new one is to be created."""
        content = tuple(fields[name] for name in TEXTS)
        holder = self.holder_of(content)
        if holder is not None and on_duplicate != "allow":
            if on_duplicate == "reject" or holder.id == supersedes:
                raise Refused("DUPLICATE_TRACE")
            return holder
        if supersedes:
            old = self.own(supersedes, user)
            if old.superseded_by:
                raise Refused("ALREADY_SUPERSEDED")
            if old.content == content:
                raise Refused("DUPLICATE_TRACE")
        return None

    def create(self, trace_id: str, user: str, fields: dict[str, Any], on_duplicate: str, supersedes: str) -> None:
        assert trace_id not in self.traces
        trace = ModelTrace(
            id=trace_id,
            owner=user,
            fields=fields | {"tags": self.tags(fields["tags"])},
            is_allowed_duplicate=on_duplicate == "allow",
            supersedes=supersedes,
        )
        trace.history.append((trace.content, TEXTS))
        self.names |= set(trace.fields["tags"])
        self.traces[trace_id] = trace
        if supersedes:
            self.traces[supersedes].superseded_by = trace_id

    def update(self, trace_id: str, user: str, changes: dict[str, Any], etag: str) -> ModelTrace:
        trace = self.own(trace_id, user)
        if etag and etag != f"e{trace.edit}":
            raise Refused("STALE_ETAG")
        if "tags" in changes:
            changes = changes | {"tags": self.tags(changes["tags"])}
        changes = {name: value for name, value in changes.items() if trace.fields[name] != value}
        changed = tuple(name for name in TEXTS if name in changes)
        if changed and not trace.is_allowed_duplicate:
            holder = self.holder_of(tuple((trace.fields | changes)[name] for name in TEXTS))
            if holder is not None and holder is not trace:
                raise Refused("DUPLICATE_TRACE")
        trace.fields |= changes
        self.names |= set(trace.fields["tags"])
        if changes:
            trace.edit += 1
        if changed:
            trace.history.append((trace.content, changed))
        return trace

    def delete(self, trace_id: str, user: str, etag: str) -> ModelTrace:
        trace = self.own(trace_id, user)
        if etag and etag != f"e{trace.edit}":
            raise Refused("STALE_ETAG")
        trace.is_deleted = True
        if trace.supersedes and self.traces[trace.supersedes].superseded_by == trace_id:
            self.traces[trace.supersedes].superseded_by = ""
        return trace

    def undelete(self, trace_id: str, user: str) -> ModelTrace:
        trace = self.traces[trace_id]
        if trace.owner != user:
            raise Refused("NOT_OWNER")
        if not trace.is_deleted:
            return trace
        if not trace.is_allowed_duplicate and self.holder_of(trace.content) is not None:
            raise Refused("DUPLICATE_TRACE")
        if trace.supersedes:
            if self.traces[trace.supersedes].superseded_by:
                raise Refused("ALREADY_SUPERSEDED")
            self.traces[trace.supersedes].superseded_by = trace_id
        trace.is_deleted = False
        return trace

    def vote(self, trace_id: str, user: str, vote: ModelVote) -> ModelTrace:
        """A vote with revision 0 is on the current one."""
        trace = self.live(trace_id)
        if trace.owner == user:
            raise Refused("OWN_TRACE")
        if vote.revision not in (0, trace.revision):
            raise Refused("REVISION_NOT_CURRENT")
        vote.revision = trace.revision
        trace.votes[user] = vote
        return trace

    def vote_of(self, trace_id: str, user: str) -> ModelVote:
        trace = self.live(trace_id)
        if user not in trace.votes:
            raise Refused("VOTE_NOT_FOUND")
        return trace.votes[user]

    def retract(self, trace_id: str, user: str) -> ModelTrace:
        self.vote_of(trace_id, user)
        del self.traces[trace_id].votes[user]
        return self.traces[trace_id]

    def merge(self, source: str, target: str) -> int:
        """How many traces had the source."""
        source, target = self.tag(source), self.tag(target)
        if source == target:
            self.names.add(target)
            return 0
        moved = [trace for trace in self.traces.values() if source in trace.fields["tags"]]
        self.aliases[source] = target
        self.names = self.names - {source} | {target}
        for trace in moved:
            trace.fields["tags"] = self.tags(trace.fields["tags"])
        return len(moved)

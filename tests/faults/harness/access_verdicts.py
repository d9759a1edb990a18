"""Verdicts on answers: what is shown or written without access, and what is refused with access (a leak, a fault)."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any

from commontrace.domain.namespaces.namespace import COMMONS, Role
from commontrace.v1 import trace_pb2
from tests.faults.harness.access_model import AccessModel, Window
from tests.support.keys import Metadata

_OVERLOADED = {"OVERLOADED"}


@dataclass(frozen=True, kw_only=True)
class Server:
    """Stubs of one server."""

    traces: Any
    votes: Any
    namespaces: Any


@dataclass(kw_only=True)
class World:
    """State shared by all clients, and what they found."""

    model: AccessModel
    chance: random.Random
    servers: list[Server]
    root: Metadata
    most: int
    traces: dict[str, str] = field(default_factory=dict)
    """Ids of traces that were acknowledged, with the names of their namespaces."""
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    operations: int = 0
    shown: int = 0
    refused: int = 0
    decided: int = 0
    """Refusals and things shown about which no change within the window leaves a doubt."""
    leaks: list[str] = field(default_factory=list)
    wrongly_refused: list[str] = field(default_factory=list)


class Refused(Exception):
    """A call failed for a reason of the contract."""

    def __init__(self, reason: str, metadata: dict[str, str]) -> None:
        super().__init__(reason)
        self.reason, self.metadata = reason, metadata


@dataclass(kw_only=True, eq=False)
class Judge:
    """Judges the answers to one user. `begun` is the time at which a call began; it ends as it is judged."""

    user: str
    world: World

    def check_trace(self, trace: trace_pb2.Trace, begun: float, *, of: str = "") -> None:
        """Judges a trace that is shown, and the source that it names; `of` is the namespace that it has to be in."""
        self.check_shown(trace.id, of or trace.namespace, begun)
        self.world.traces.setdefault(trace.id, trace.namespace)
        if trace.promoted_from_trace_id:
            source = trace.promoted_from_trace_id
            self.check_shown(source, self.world.traces.get(source, COMMONS), begun)

    def check_shown(self, trace_id: str, name: str, begun: float) -> None:
        """Judges that a trace is shown as one of a namespace."""
        known = self.world.traces.get(trace_id, name)
        self._check_allowed(f"shows {trace_id}", known, Role.READER, begun)
        if known != name:
            self.world.leaks.append(f"{trace_id} of {known} is shown as of {name}")

    def check_write(self, name: str, begun: float) -> None:
        """Judges a write that was carried out."""
        self._check_allowed("was written", name, Role.WRITER, begun)

    def _check_allowed(self, what: str, name: str, needed: Role, begun: float) -> None:
        window = Window(begun, time.monotonic())
        self.world.shown += 1
        self.world.decided += len(self.world.model.roles(self.user, name, window)) == 1
        if not self.world.model.may(self.user, name, needed, window):
            self.world.leaks.append(f"{self.user}: {name} {what}")

    def check_names(self, searched: set[str], begun: float, *, due: set[str]) -> None:
        """Judges which namespaces were searched, of those that were asked for."""
        window = Window(begun, time.monotonic())
        for name in searched:
            self._check_allowed("was searched", name, Role.READER, begun)
        for name in due - searched:
            if self.world.model.must(self.user, name, Role.READER, window):
                self.world.wrongly_refused.append(f"{self.user}: {name} was not searched")

    def check_refusal(self, refusal: Refused, begun: float, **known: tuple[str, Role]) -> None:
        """Judges a refusal. `known` are the namespaces that it is about, by reason, with the role that it denies."""
        if refusal.reason in _OVERLOADED:
            return
        assert refusal.reason in known, refusal.reason
        name, needed = known[refusal.reason]
        window = Window(begun, time.monotonic())
        self.world.refused += 1
        self.world.decided += len(self.world.model.roles(self.user, name, window)) == 1
        if self.world.model.must(self.user, name, needed, window):
            self.world.wrongly_refused.append(f"{self.user}: {refusal.reason} in {name}")
        if refusal.reason == "NAMESPACE_FORBIDDEN":
            # Tells that there is something.
            self._check_allowed("was told of", name, Role.READER, begun)

    def check_end(self, refusal: Refused, begun: float, name: str, **known: tuple[str, Role]) -> None:
        """Judges the end of a stream: without a filter, the loss of any namespace ends it."""
        if refusal.reason == "NAMESPACE_NOT_FOUND":
            known = {"NAMESPACE_NOT_FOUND": (name or refusal.metadata["namespace"], Role.READER)}
        self.check_refusal(refusal, begun, **known)

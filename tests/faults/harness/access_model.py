"""Model of access: which roles a user may have had in a namespace at any time of a window."""

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf

from commontrace.domain.namespaces.namespace import Role, Visibility, effective_role

WINDOW_SECONDS = 4.0
"""The age that a server's knowledge of access may have."""


@dataclass(slots=True)
class _Period:
    """A role that may have held from `since` on, when its change began, and until `until`, when the next one ended."""

    role: Role | None
    since: float
    until: float = inf


@dataclass(kw_only=True)
class _Namespace:
    visibility: Visibility
    members: dict[str, Role] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Window:
    """The time that the answer to a call may stand for."""

    begin: float
    end: float


class AccessModel:
    """Roles of users in namespaces over time. `bound` are the namespaces of users whose key is bound to some."""

    def __init__(self, users: Iterable[str], bound: dict[str, frozenset[str]]) -> None:
        self.users, self._bound = tuple(users), bound
        self._namespaces: dict[str, _Namespace] = {}
        self._periods: dict[tuple[str, str], list[_Period]] = {}

    def add(self, name: str, visibility: Visibility, members: dict[str, Role]) -> None:
        """Adds a namespace that has been so for long."""
        self._namespaces[name] = _Namespace(visibility=visibility, members=dict(members))
        for user in self.users:
            self._periods[user, name] = [_Period(self._role(user, name), -inf)]

    @asynccontextmanager
    async def change(
        self, name: str, *, visibility: Visibility | None = None, member: tuple[str, Role | None] | None = None
    ) -> AsyncIterator[None]:
        """Notes a change that happens at some time inside. One at a time for each namespace."""
        since = time.monotonic()
        namespace = self._namespaces[name]
        if visibility is not None:
            namespace.visibility = visibility
        if member is not None:
            user, role = member
            namespace.members.pop(user, None)
            if role is not None:
                namespace.members[user] = role
        changed = []
        for user in self.users:
            periods, role = self._periods[user, name], self._role(user, name)
            if role != periods[-1].role:
                changed.append(periods)
                periods.append(_Period(role, since))
        yield
        until = time.monotonic()
        for periods in changed:
            periods[-2].until = until

    def members(self, name: str) -> dict[str, Role]:
        """Returns the members as they are at the moment."""
        return dict(self._namespaces[name].members)

    def visibility(self, name: str) -> Visibility:
        """Returns the visibility as it is at the moment."""
        return self._namespaces[name].visibility

    def roles(self, user: str, name: str, window: Window) -> set[Role | None]:
        """Returns the roles that the user may have had there at any time of the window, or within 4 s before."""
        begin = window.begin - WINDOW_SECONDS
        return {
            period.role for period in self._periods[user, name] if period.since <= window.end and period.until >= begin
        }

    def may(self, user: str, name: str, needed: Role, window: Window) -> bool:
        """Returns whether some access of the window allows it."""
        return _any(self.roles(user, name, window), needed, any)

    def must(self, user: str, name: str, needed: Role, window: Window) -> bool:
        """Returns whether every access of the window allows it."""
        return _any(self.roles(user, name, window), needed, all)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._namespaces)

    def _role(self, user: str, name: str) -> Role | None:
        if name not in self._bound.get(user, self._namespaces):
            return None
        namespace = self._namespaces[name]
        return effective_role(namespace.visibility, namespace.members.get(user), is_admin=False)


def _any(roles: Iterable[Role | None], needed: Role, which: Callable[[Iterable[bool]], bool]) -> bool:
    return which(role is not None and role >= needed for role in roles)

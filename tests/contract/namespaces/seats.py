"""Callers of the matrix: their memberships, the scopes of their keys, and what their keys are bound to."""

from collections.abc import Collection
from dataclasses import dataclass

from commontrace.domain.namespaces.namespace import Role
from commontrace.domain.scopes import BEYOND_NAMESPACES, EVERYTHING, Scope

WALLED, READABLE, OPEN, ELSEWHERE = "walled-garden", "public-garden", "common-garden", "other-garden"
"""The namespaces of the matrix: a private one, a readable one, an open one, and another private one."""

ABSENT = {WALLED: "absent-garden", READABLE: "absent-garden", OPEN: "absent-garden"}
"""Names of the same length that no namespace has."""

_ORDINARY = EVERYTHING - {Scope.TRACES_ADMIN}
_BOUND = _ORDINARY - set(BEYOND_NAMESPACES)


@dataclass(frozen=True, kw_only=True)
class Seat:
    """A caller. `role` is the effective one in `namespace`; `member_of` are the memberships that make it."""

    name: str
    role: Role | None
    namespace: str = WALLED
    member_of: tuple[tuple[str, Role], ...] = ()
    scopes: Collection[Scope] = frozenset(_ORDINARY)
    bound_to: tuple[str, ...] = ()
    is_removed: bool = False
    """Whether the membership in `namespace`, as an owner, ended a moment before the call."""

    @property
    def email(self) -> str:
        return f"{self.name.replace(' ', '-').replace(',', '')}@example.org"

    @property
    def moderates(self) -> bool:
        """Whether the caller is a moderator of any namespace that the key reaches."""
        reached = [role for name, role in self.member_of if not self.bound_to or name in self.bound_to]
        return any(role >= Role.MODERATOR for role in reached)


NO_MEMBER = Seat(name="no member", role=None)
SEATS = (
    NO_MEMBER,
    Seat(name="moderator of another", role=None, member_of=((ELSEWHERE, Role.MODERATOR),)),
    Seat(name="reader", role=Role.READER, member_of=((WALLED, Role.READER),)),
    Seat(
        name="reader, moderator of another",
        role=Role.READER,
        member_of=((WALLED, Role.READER), (ELSEWHERE, Role.MODERATOR)),
    ),
    Seat(name="writer", role=Role.WRITER, member_of=((WALLED, Role.WRITER),)),
    Seat(name="moderator", role=Role.MODERATOR, member_of=((WALLED, Role.MODERATOR),)),
    Seat(name="owner", role=Role.OWNER, member_of=((WALLED, Role.OWNER),)),
    Seat(
        name="key bound to it",
        role=Role.MODERATOR,
        member_of=((WALLED, Role.MODERATOR), (ELSEWHERE, Role.OWNER)),
        scopes=_BOUND,
        bound_to=(WALLED,),
    ),
    Seat(
        name="key bound to another",
        role=None,
        member_of=((WALLED, Role.OWNER), (ELSEWHERE, Role.OWNER)),
        scopes=_BOUND,
        bound_to=(ELSEWHERE,),
    ),
    Seat(name="admin", role=Role.OWNER, scopes=EVERYTHING),
    Seat(
        name="admin bound to another",
        role=None,
        scopes=EVERYTHING - set(BEYOND_NAMESPACES),
        bound_to=(ELSEWHERE,),
    ),
    Seat(name="member removed a moment ago", role=None, is_removed=True),
    Seat(name="no member of a readable one", role=Role.READER, namespace=READABLE),
    Seat(name="no member of an open one", role=Role.WRITER, namespace=OPEN),
)
BOUND_TO_IT, BOUND_TO_ANOTHER, BOUND_ADMIN = "key bound to it", "key bound to another", "admin bound to another"

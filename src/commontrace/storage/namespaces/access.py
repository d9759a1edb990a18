"""A caller's access: the namespaces that a user may read, with the effective roles."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Boolean, String, and_, bindparam, func, or_, select

from commontrace.domain.namespaces.access import Grant
from commontrace.domain.namespaces.namespace import Role, Visibility, effective_role
from commontrace.storage.executor import Executor
from commontrace.storage.models import Namespace, NamespaceMember, User

CHANNEL = "commontrace_namespaces"
"""The channel on which servers are notified that namespaces or members have changed."""

_MEMBERSHIP = and_(
    NamespaceMember.namespace_id == Namespace.id,
    NamespaceMember.user_id == select(User.id).where(User.email == bindparam("email", type_=String)).scalar_subquery(),
)
# Built once: building a statement costs more than running it.
_COUNT = select(func.count()).select_from(Namespace).scalar_subquery()
_READABLE = (
    select(Namespace.id, Namespace.name, Namespace.visibility, NamespaceMember.role, _COUNT)
    .outerjoin(NamespaceMember, _MEMBERSHIP)
    .where(
        or_(
            NamespaceMember.role.is_not(None),
            Namespace.visibility != Visibility.PRIVATE,
            bindparam("is_admin", type_=Boolean),
        )
    )
)


class ReadableGrants(NamedTuple):
    """The namespaces that a user may read; `covers_all` is true where there are no others."""

    grants: Sequence[Grant]
    covers_all: bool


class NamespaceAccessReader:
    """Access of users, by e-mail address."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def get(self, email: str, *, is_admin: bool) -> ReadableGrants:
        """Returns what the user may read, whether the user has a row or not."""
        rows = (await self._executor.execute(_READABLE, {"email": email, "is_admin": is_admin})).all()
        grants = [
            Grant(namespace_id, name, role)
            for namespace_id, name, visibility, membership, _ in rows
            if (role := effective_role(Visibility(visibility), role_of(membership), is_admin=is_admin)) is not None
        ]
        return ReadableGrants(grants, covers_all=bool(rows) and len(grants) == rows[0][-1])


def role_of(stored: str | None) -> Role | None:
    """Returns the role of a stored one."""
    return None if stored is None else Role[stored.upper()]

"""Namespace access: what one caller may reach, resolved once for each call (ADR 0061)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple, Self
from uuid import UUID

from commontrace.domain.errors import NamespaceForbidden, NamespaceNotFound, NamespaceRequired
from commontrace.domain.namespaces.namespace import COMMONS, COMMONS_ID, Role


class Grant(NamedTuple):
    """A namespace that a caller may read, and the effective role there."""

    id: UUID
    name: str
    role: Role


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadableNamespaces:
    """The namespaces that a statement reads: every statement over traces takes them.

    `names` are those of `ids`, in alphabetical order. `granted_ids` are all that the caller may read, more than `ids`
    where a filter names some. `is_all` is true where no other namespace existed when they were resolved: the statement
    still names the ids, and the planner's routes are those of a search without a filter. `is_unlimited` is true for
    who may read every namespace, also those that come to be: an admin, or anybody without authentication.
    """

    ids: tuple[UUID, ...] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    granted_ids: tuple[UUID, ...] = field(repr=False)
    is_all: bool
    is_unlimited: bool
    digest: str
    """Stands for the ids in the representation, by which filters are cached: they may be a thousand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NamespaceAccess:
    """The namespaces that a caller may read, by name, with the effective roles.

    `bound_names` are those that the API key is bound to, None for a key that is not bound.
    """

    grants: Mapping[str, Grant]
    readable: ReadableNamespaces
    bound_names: frozenset[str] | None = None
    roles: Mapping[UUID, Grant] = field(repr=False)

    @classmethod
    def of(
        cls,
        grants: Collection[Grant],
        *,
        covers_all: bool,
        is_admin: bool = False,
        bound_names: frozenset[str] | None = None,
    ) -> Self:
        """Returns the access that these grants make, as far as the API key is bound to them.

        `covers_all` is true where there are no other namespaces.
        """
        reached = sorted(
            (grant for grant in grants if bound_names is None or grant.name in bound_names),
            key=lambda grant: grant.name,
        )
        return cls(
            grants={grant.name: grant for grant in reached},
            readable=_readable(
                reached,
                reached,
                covers_all=covers_all and len(reached) == len(grants),
                is_unlimited=is_admin and bound_names is None,
            ),
            bound_names=bound_names,
            roles={grant.id: grant for grant in reached},
        )

    def require(self, name: str, needed: Role) -> Grant:
        """Returns the namespace with this name. Raises NamespaceNotFound, NamespaceForbidden."""
        grant = self.grants.get(name)
        if grant is None:
            raise NamespaceNotFound(name)
        return _require(grant, needed)

    def require_role(self, namespace_id: UUID, needed: Role) -> Grant:
        """Returns the readable namespace with this id. Raises NamespaceForbidden."""
        return _require(self.roles[namespace_id], needed)

    def require_target(self, name: str) -> Grant:
        """Returns the namespace that a new trace is stored in; '' stands for the default.

        Raises NamespaceNotFound, NamespaceForbidden, and NamespaceRequired for a key that is bound to several.
        """
        return self.require(name or self.default_name(), Role.WRITER)

    def default_name(self) -> str:
        """Returns the only namespace that the key is bound to, or `commons`. Raises NamespaceRequired."""
        if self.bound_names is None:
            return COMMONS
        if len(self.bound_names) > 1:
            raise NamespaceRequired
        return next(iter(self.bound_names))

    def narrowed(self, names: Collection[str]) -> ReadableNamespaces:
        """Returns the namespaces with these names, or all for no name. Raises NamespaceNotFound."""
        if not names:
            return self.readable
        wanted = [self.require(name, Role.READER) for name in sorted(set(names))]
        return self._narrowed(wanted)

    def only(self, grant: Grant) -> ReadableNamespaces:
        """Returns one of the namespaces."""
        return self.readable if len(self.grants) == 1 else self._narrowed([grant])

    def _narrowed(self, wanted: Collection[Grant]) -> ReadableNamespaces:
        whole = self.readable
        return _readable(wanted, self.grants.values(), covers_all=whole.is_all, is_unlimited=whole.is_unlimited)

    def moderates_some(self) -> bool:
        """Returns whether the caller is a moderator of a namespace."""
        return any(grant.role >= Role.MODERATOR for grant in self.grants.values())


def _readable(
    wanted: Collection[Grant], granted: Collection[Grant], *, covers_all: bool, is_unlimited: bool
) -> ReadableNamespaces:
    ids = tuple(sorted(grant.id for grant in wanted))
    return ReadableNamespaces(
        ids=ids,
        names=tuple(sorted(grant.name for grant in wanted)),
        granted_ids=tuple(sorted(grant.id for grant in granted)),
        is_all=covers_all and len(wanted) == len(granted),
        is_unlimited=is_unlimited,
        digest=sha256(b"".join(namespace_id.bytes for namespace_id in ids)).hexdigest()[:32],
    )


def _require(grant: Grant, needed: Role) -> Grant:
    if grant.role < needed:
        raise NamespaceForbidden(grant.name, role=grant.role.name, needed_role=needed.name)
    return grant


COMMONS_ONLY = NamespaceAccess.of([Grant(COMMONS_ID, COMMONS, Role.OWNER)], covers_all=True, is_admin=True)
"""Access of everybody, where there is no other namespace."""

"""Callers: the identity behind a call and its permissions (ADR 0004, 0027)."""

from dataclasses import dataclass
from uuid import UUID

from commontrace import USER_METADATA
from commontrace.domain import limits
from commontrace.domain.errors import InvalidUser, KeyBound, ScopeMissing, UserReserved
from commontrace.domain.scopes import BEYOND_NAMESPACES, EVERYTHING, Scope

LOCAL_EMAIL = "local@commontrace.dev"
SEED_EMAIL = "seed@commontrace.dev"
SEED_NAME = "CommonTrace Seed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """The user behind a call, by e-mail address, with the scopes of the call.

    `key_id` is None without authentication; then the user's row is created with the first write. `bound_names` are the
    namespaces that the API key is bound to, None for a key that is not bound.
    """

    email: str
    scopes: frozenset[Scope] = EVERYTHING
    key_id: UUID | None = None
    bound_names: frozenset[str] | None = None

    @property
    def is_admin(self) -> bool:
        """True where the caller is an owner of every namespace: an admin, or anybody without authentication."""
        return self.key_id is None or Scope.TRACES_ADMIN in self.scopes

    def require(self, scope: Scope) -> None:
        """Raises ScopeMissing unless the caller has the scope."""
        if scope not in self.scopes:
            raise (
                KeyBound(scope) if self.bound_names is not None and scope in BEYOND_NAMESPACES else ScopeMissing(scope)
            )


def claim_address(email: str) -> Caller:
    """Returns the caller who claims an address without authentication. Raises InvalidUser, UserReserved."""
    address = email.strip().lower()
    name, at, host = address.partition("@")
    plain = address.isascii() and address.isprintable() and not any(c.isspace() or c in '<>,;:"()[]\\' for c in address)
    labels = host.split(".")
    if not (plain and name and at and len(labels) > 1 and all(labels) and "@" not in host):
        raise InvalidUser(f"{USER_METADATA} must be one plain e-mail address, such as ada@example.org")
    if len(address) > limits.EMAIL_CHARACTERS:
        raise InvalidUser(f"{USER_METADATA} must have at most {limits.EMAIL_CHARACTERS} characters")
    if address == SEED_EMAIL:
        raise UserReserved(address)
    return Caller(email=address)

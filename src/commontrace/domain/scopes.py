"""Scopes: the permissions of API keys."""

from enum import StrEnum


class Scope(StrEnum):
    """Permissions. Every RPC requires one of them, as the contract declares."""

    TRACES_READ = "traces:read"
    TRACES_WRITE = "traces:write"
    TRACES_IMPORT = "traces:import"
    TRACES_ADMIN = "traces:admin"
    VOTES_WRITE = "votes:write"
    TAGS_WRITE = "tags:write"
    NAMESPACES_WRITE = "namespaces:write"


EVERYTHING = frozenset(Scope)
"""The scopes of every caller of a server without authentication."""

OF_AN_AGENT = (Scope.TRACES_READ, Scope.TRACES_WRITE, Scope.VOTES_WRITE)
"""The scopes of a key unless others are given."""

BEYOND_NAMESPACES = (Scope.TAGS_WRITE, Scope.NAMESPACES_WRITE)
"""The scopes that reach beyond any namespace: a key that is bound to some has neither."""

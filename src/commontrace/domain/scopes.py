"""What a caller may be allowed to do."""

from enum import StrEnum


class Scope(StrEnum):
    """Every RPC needs one of these; the contract says which."""

    TRACES_READ = "traces:read"
    TRACES_WRITE = "traces:write"
    TRACES_IMPORT = "traces:import"
    TRACES_ADMIN = "traces:admin"
    VOTES_WRITE = "votes:write"
    TAGS_WRITE = "tags:write"


EVERYTHING = frozenset(Scope)
"""What everybody may do where nobody is authenticated."""

OF_AN_AGENT = (Scope.TRACES_READ, Scope.TRACES_WRITE, Scope.VOTES_WRITE)
"""What a key may do unless it is made for something else."""

"""Namespaces: names, visibility and roles."""

import re
from enum import IntEnum, StrEnum
from uuid import UUID

from commontrace.domain import limits

COMMONS = "commons"
COMMONS_ID = UUID("c0000000-0000-4000-8000-000000000001")
"""The namespace that is there from the beginning, and its id in every database."""

_NAME = re.compile(rf"[a-z0-9]([a-z0-9-]{{0,{limits.NAMESPACE_NAME_CHARACTERS - 2}}}[a-z0-9])?")


class Visibility(StrEnum):
    """Access of users who are not members."""

    PRIVATE = "private"
    READABLE = "readable"
    OPEN = "open"


class Role(IntEnum):
    """Roles; each includes those before it."""

    READER = 1
    WRITER = 2
    MODERATOR = 3
    OWNER = 4


_GRANTED = {Visibility.READABLE: Role.READER, Visibility.OPEN: Role.WRITER}


def is_name(text: str) -> bool:
    """Returns whether the text has the form of a namespace's name."""
    return _NAME.fullmatch(text) is not None


def effective_role(visibility: Visibility, membership: Role | None, *, is_admin: bool) -> Role | None:
    """Returns the stronger of membership and what the visibility grants; None where there is neither.

    An admin, who has the scope `traces:admin` or calls a server without authentication, is an owner everywhere.
    """
    if is_admin:
        return Role.OWNER
    granted = _GRANTED.get(visibility)
    if membership is None or granted is None:
        return membership or granted
    return max(membership, granted)

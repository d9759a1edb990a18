"""Enabling namespaces: shuts out servers of the version before, which would read what is private (ADR 0061).

Such a server checks the revision only as it starts. So other namespaces than `commons` exist only after some columns
that each of its reads names were renamed: from then on its statements fail. This version names the new columns alone.
Until they are renamed, a function of that name stands for each of them: in Postgres, `votes.first_cast_at` is the
column, or else `first_cast_at(votes)`, which is inlined and uses the same indexes. Only defaults, functions of the
database, and inserts by position write these columns.
"""

import asyncio
import time
from typing import NamedTuple

from sqlalchemy import text

from commontrace.domain.errors import Busy
from commontrace.storage import engines
from commontrace.storage.error_mapping import translate_contention, translate_errors
from commontrace.storage.migrations import MigrationLocked

_LOCK_SECONDS = 60.0
_RETRY_SECONDS = 1.0


class Accessor(NamedTuple):
    """A column that older servers read, its new name, and the function that stands for the new name until then."""

    table: str
    old: str
    new: str
    kind: str

    @property
    def create(self) -> str:
        """The statement that creates the function."""
        return (
            f"CREATE OR REPLACE FUNCTION {self.new}({self.table}) RETURNS {self.kind} LANGUAGE sql STABLE PARALLEL SAFE"
            f" AS 'SELECT ($1).{self.old}'"
        )

    @property
    def drop(self) -> str:
        """The statement that drops the function."""
        return f"DROP FUNCTION {self.new}({self.table})"

    @property
    def rename(self) -> str:
        """The statement that renames the column."""
        return f"ALTER TABLE {self.table} RENAME COLUMN {self.old} TO {self.new}"

    @property
    def rename_back(self) -> str:
        """The statement that gives the column its old name."""
        return f"ALTER TABLE {self.table} RENAME COLUMN {self.new} TO {self.old}"


ACCESSORS = (
    # Of every row of a trace that is read, exported or locked.
    Accessor("traces", "hidden_at", "hiding_time", "timestamptz"),
    Accessor("traces", "hide_reason", "hiding_reason", "varchar"),
    Accessor("trace_revisions", "created_at", "current_since", "timestamptz"),
    Accessor("votes", "created_at", "first_cast_at", "timestamptz"),
    Accessor("trace_events", "created_at", "occurred_at", "timestamptz"),
    # Of every look-up of a tag.
    Accessor("tag_aliases", "name", "alias", "varchar"),
)

_HIDE = """
CREATE OR REPLACE FUNCTION hide_trace(trace uuid, reason varchar) RETURNS void LANGUAGE sql AS
    'UPDATE traces SET {time} = coalesce({time}, now()), {reason} = $2 WHERE id = $1'
"""
_UNHIDE = """
CREATE OR REPLACE FUNCTION unhide_trace(trace uuid) RETURNS void LANGUAGE sql AS
    'UPDATE traces SET {time} = NULL, {reason} = '''' WHERE id = $1'
"""


def _hiding(*, is_renamed: bool) -> tuple[str, str]:
    names = (
        {"time": "hiding_time", "reason": "hiding_reason"}
        if is_renamed
        else {"time": "hidden_at", "reason": "hide_reason"}
    )
    return _HIDE.format(**names), _UNHIDE.format(**names)


CREATE_HIDING = _hiding(is_renamed=False)
DROP_HIDING = ("DROP FUNCTION hide_trace(uuid, varchar)", "DROP FUNCTION unhide_trace(uuid)")


def is_enabled_sql() -> str:
    """Returns the condition that the columns have their new names."""
    return (
        "NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = CAST('traces' AS regclass) AND attname = 'hide_reason'"
        " AND NOT attisdropped)"
    )


async def enable(url: str) -> bool:
    """Renames the columns; returns whether they had their old names. Raises DatabaseUnavailable, MigrationLocked."""
    engine = engines.unpooled(url)
    give_up_at = time.monotonic() + _LOCK_SECONDS
    try:
        while True:
            try:
                with translate_errors(), translate_contention():
                    async with engine.begin() as connection:
                        # Five waits, of which each holds callers up, are over before these give up.
                        await connection.execute(text("SET LOCAL lock_timeout = '300ms'"))
                        # The lock that every change of these tables takes, before the question.
                        tables = ", ".join(dict.fromkeys(accessor.table for accessor in ACCESSORS))
                        await connection.execute(text(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"))
                        if (await connection.execute(text(f"SELECT {is_enabled_sql()}"))).scalar_one():
                            return False
                        statements = [(accessor.drop, accessor.rename) for accessor in ACCESSORS]
                        for statement in [*(one for pair in statements for one in pair), *_hiding(is_renamed=True)]:
                            await connection.execute(text(statement))
                        return True
            except Busy:
                if time.monotonic() > give_up_at:
                    raise MigrationLocked(
                        f"others have used a table without a pause for {_LOCK_SECONDS:.0f} s: wait for long"
                        " transactions, such as a pg_dump, or end them"
                    ) from None
            # A pause, so that the calls that queue behind the lock can run.
            await asyncio.sleep(_RETRY_SECONDS)
    finally:
        await engine.dispose()

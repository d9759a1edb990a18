"""Statements that calls send to Postgres, as the driver logs them, and the condition that keeps namespaces apart."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from commontrace.rpc.call import current_call

TABLES = ("traces", "trace_revisions", "votes", "trace_events", "trace_signs", "trace_words", "trace_tokens")
"""What lives in a namespace."""

_TABLE = "|".join(TABLES)
# An INSERT alone reads nothing.
_READS = re.compile(rf"\b(?:from|join|update|using|only)\s+(?:{_TABLE})\b|,\s*(?:{_TABLE})\s+(?:as|where)\b")
_CONDITION = re.compile(r"\bnamespace_id\s*(?:=\s*any\b|=\s*\$|in\b)")

OUTSIDE = {
    # Of a trace that the purge has locked.
    r"DELETE FROM (traces|trace_revisions|trace_tokens|votes) WHERE \S+ = \$1::UUID": "PurgeTrace",
    r"SELECT traces\.id FROM traces WHERE traces\.id = \$1::UUID FOR UPDATE": "PurgeTrace",
    # Copies of a purged trace, and what it supersedes, are locked before the caller's role is looked at.
    r"SELECT traces\.id FROM traces WHERE traces\.supersedes_id = .*": "PurgeTrace",
    r"SELECT .* FROM traces WHERE .* ORDER BY traces\.id FOR NO KEY UPDATE": "PurgeTrace",
    r"UPDATE traces SET (promoted_from|superseded_by|supersedes)_id=\$1::UUID WHERE .*": "PurgeTrace",
    # Of a trace that is locked, within the caller's namespaces, by the same transaction, or new.
    r"UPDATE traces SET .* WHERE traces\.id = \$\d+::UUID": (
        "CreateTrace UpdateTrace DeleteTrace UndeleteTrace HideTrace UnhideTrace CastVote RetractVote"
    ),
    r"UPDATE traces SET superseded_by_id=.* FROM unnest\(.*": "ImportTraces",
    r"DELETE FROM votes WHERE votes\.trace_id = \$1::UUID AND votes\.voter_id = .*": "RetractVote",
    r"INSERT INTO votes .* FROM votes AS other WHERE .*": "CastVote",
    r"SELECT votes\.trace_id, count\(\*\) .* GROUP BY votes\.trace_id": "RetractVote",
    r"INSERT INTO trace_tokens .* SELECT .*": "UpdateTrace PromoteTrace",
    # Locks what a merge moves, in every namespace, and shows nothing.
    r"SELECT count\(\*\) AS count_1 FROM \(SELECT .* FOR KEY SHARE\) AS anon_1": "MergeTags",
    # The age of the oldest event.
    r"SELECT coalesce\(max\(anon_1\.sequence\).* FROM trace_events .*": "WatchTraces",
    # By hashes that are taken over the namespace; and whether an id is taken, which the contract tells.
    r"SELECT traces\.content_hash, traces\.id FROM traces WHERE .*": "ImportTraces",
    r"SELECT traces\.id, traces\.deleted_at IS NULL AS is_live, .*": "ImportTraces",
    # The source of a copy, which is shown to the caller.
    r"SELECT traces\.namespace_id FROM traces WHERE traces\.id = \$1::UUID": "PromoteTrace",
}
"""Statements without the condition, as patterns, with the RPCs that send them; comments give the reasons."""


class Sent(NamedTuple):
    """A statement of a call to an RPC."""

    rpc: str
    sql: str


def reads_what_lives_in_a_namespace(sql: str) -> bool:
    """Returns whether the statement reads or changes rows of one of TABLES."""
    return _READS.search(_normal(sql).lower()) is not None


def has_condition(sql: str) -> bool:
    """Returns whether the statement is limited to namespaces."""
    return _CONDITION.search(_normal(sql).lower()) is not None


def is_through_the_door(sql: str) -> bool:
    """Returns whether the statement reads nothing that lives in a namespace, or is limited to namespaces."""
    return not reads_what_lives_in_a_namespace(sql) or has_condition(sql)


def pattern_of(sent: Sent) -> str | None:
    """Returns the pattern of OUTSIDE that the statement of this RPC matches, None without one."""
    name = sent.rpc.rpartition("/")[2]
    matching = (pattern for pattern, names in OUTSIDE.items() if name in names.split())
    return next((pattern for pattern in matching if re.fullmatch(pattern, _normal(sent.sql))), None)


def _normal(sql: str) -> str:
    return " ".join(sql.replace('"', "").split())


@contextmanager
def statements_of_calls() -> Iterator[set[Sent]]:
    """Yields the statements that calls have sent so far, on connections that are opened inside."""
    sent: set[Sent] = set()

    def log(sql: str) -> None:
        call = current_call.get(None)
        if call is not None:
            sent.add(Sent(f"/commontrace.v1.{call.method}", sql))

    opened = asyncpg.connect

    async def connect(*arguments: Any, **options: Any) -> Any:
        connection = await opened(*arguments, **options)
        connection.add_query_logger(lambda record: log(record.query))
        return connection

    with ExitStack() as patches:
        patches.enter_context(patch("commontrace.storage.connections.asyncpg.connect", connect))
        # Of prepared statements, the driver logs nothing.
        for name in ("cursor", "fetch", "fetchval", "fetchrow", "fetchmany", "executemany"):
            patches.enter_context(patch.object(PreparedStatement, name, _logged(getattr(PreparedStatement, name), log)))
        yield sent


def _logged(run: Callable[..., Any], log: Callable[[str], None]) -> Callable[..., Any]:
    def logged(statement: PreparedStatement, *arguments: Any, **options: Any) -> Any:
        log(statement.get_query())
        return run(statement, *arguments, **options)

    return logged

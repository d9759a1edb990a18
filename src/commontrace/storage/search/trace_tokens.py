"""Trace tokens: the signs of each trace's token vectors, stored with its vector (ADR 0058)."""

from collections.abc import Collection, Sequence
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CursorResult,
    Insert,
    Integer,
    LargeBinary,
    Select,
    String,
    Uuid,
    any_,
    bindparam,
    delete,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from commontrace.domain.namespaces.access import ReadableNamespaces
from commontrace.embeddings.token_signs import TokenSigns
from commontrace.storage.executor import Executor
from commontrace.storage.models import Trace, TraceTokens
from commontrace.storage.namespaces.readable import READABLE_IDS
from commontrace.storage.transaction import Transaction


def has_tokens(trace: str) -> str:
    """Returns the condition on a row of `traces`, by its name in the statement: its tokens are stored.

    That is, the tokens of its text and of its vector's model.
    """
    return f"""EXISTS (
        SELECT FROM trace_tokens
        WHERE trace_tokens.trace_id = {trace}.id AND trace_tokens.revision = {trace}.revision
            AND trace_tokens.model_version = {trace}.embedding_model_version)"""


# Built once: building a statement costs more than running it.
_OF_THEM = (
    select(TraceTokens.trace_id, TraceTokens.signs)
    .join(Trace, Trace.id == TraceTokens.trace_id)
    .where(
        TraceTokens.trace_id == any_(bindparam("trace_ids", type_=ARRAY(Uuid))),
        TraceTokens.model_version == bindparam("model_version", type_=String),
        TraceTokens.revision == Trace.revision,
        Trace.namespace_id == READABLE_IDS,
    )
)


def _save_statement() -> Insert:
    """Returns the statement that stores the tokens of a trace, unless its text has changed since."""
    unchanged: Select[UUID, str, int, bytes] = select(
        Trace.id,
        bindparam("model_version", type_=String),
        Trace.revision,
        bindparam("signs", type_=LargeBinary),
    ).where(Trace.id == bindparam("of_trace", type_=Uuid), Trace.revision == bindparam("of_revision", type_=Integer))
    statement = insert(TraceTokens.__table__).from_select(["trace_id", "model_version", "revision", "signs"], unchanged)
    return statement.on_conflict_do_update(
        index_elements=[TraceTokens.trace_id, TraceTokens.model_version],
        set_={"revision": statement.excluded.revision, "signs": statement.excluded.signs},
    )


_SAVE = _save_statement()
_COPY = insert(TraceTokens.__table__).from_select(
    ["trace_id", "model_version", "revision", "signs"],
    select(bindparam("to_trace", type_=Uuid), TraceTokens.model_version, literal_column("1"), TraceTokens.signs)
    .join(Trace, Trace.id == TraceTokens.trace_id)
    .where(
        TraceTokens.trace_id == bindparam("of_trace", type_=Uuid),
        TraceTokens.revision == Trace.revision,
        TraceTokens.model_version == Trace.embedding_model_version,
    ),
)


class TokensOfRevision(NamedTuple):
    """The tokens of a trace's text in one of its revisions; None where the model keeps none."""

    trace_id: UUID
    revision: int
    token_signs: TokenSigns | None


class TraceTokensReader:
    """Read side of the tokens."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def get_many(
        self, trace_ids: Collection[UUID], namespaces: ReadableNamespaces, *, model_version: str
    ) -> dict[UUID, bytes]:
        """Returns the signs of the traces' tokens by id, as `late_interaction` reads them.

        Traces that have none of this version, or none of their present text, are left out.
        """
        parameters = {
            "trace_ids": list(trace_ids),
            "model_version": model_version,
            "namespace_ids": namespaces.ids,
        }
        rows = await self._executor.execute(_OF_THEM, parameters)
        return {trace_id: signs for trace_id, signs in rows if signs}


class TraceTokensRepository(TraceTokensReader):
    """Tokens in one unit of work, which locks or adds each trace before."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)

    async def copy(self, from_trace_id: UUID, to_trace_id: UUID) -> bool:
        """Copies the tokens of a locked trace to a new one of the same text; returns False if there are none."""
        copied = await self._executor.execute(_COPY, {"of_trace": from_trace_id, "to_trace": to_trace_id})
        return cast("CursorResult[None]", copied).rowcount > 0

    async def save(self, tokens: Sequence[TokensOfRevision], *, model_version: str) -> None:
        """Stores tokens, except those of texts that have changed since."""
        await save_tokens(self._executor, tokens, model_version=model_version)


async def save_tokens(executor: Executor, tokens: Sequence[TokensOfRevision], *, model_version: str) -> None:
    """Stores tokens, except those of texts that have changed since."""
    rows = [
        {
            "of_trace": one.trace_id,
            "of_revision": one.revision,
            "model_version": model_version,
            "signs": one.token_signs.to_bytes(),
        }
        for one in tokens
        if one.token_signs is not None
    ]
    if rows:
        await executor.execute(_SAVE, rows)


async def delete_tokens_of_others(
    executor: Executor, versions: Collection[str], *, after: UUID | None, limit: int
) -> UUID | None:
    """Deletes the rows of other model versions than these of the next `limit` traces by id.

    Returns the id of the last of these traces, None at the end.
    """
    behind = TraceTokens.trace_id > (after or UUID(int=0))
    page = select(TraceTokens.trace_id).where(behind).distinct().order_by(TraceTokens.trace_id).limit(limit)
    ids = page.subquery().c.trace_id
    last: UUID | None = (await executor.execute(select(ids).order_by(ids.desc()).limit(1))).scalar_one_or_none()
    if last is None:
        return None
    others = TraceTokens.model_version.not_in(versions)
    await executor.execute(delete(TraceTokens.__table__).where(behind, TraceTokens.trace_id <= last, others))
    return last

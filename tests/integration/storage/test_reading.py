"""`Reading` offers nothing that writes: each of its methods runs on a connection that cannot write."""

import inspect
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from commontrace.domain.search.neighbours import NeighbourQuery
from commontrace.domain.traces.trace_filter import ResolvedFilter, TraceFilter
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import engines
from commontrace.storage.database import Database
from commontrace.storage.idempotency import RequestKey
from commontrace.storage.tags.listing import TagQuery
from commontrace.storage.unit_of_work import Reading
from tests.integration.storage.storing import EMAIL, stored, unit_vector

ID = uuid4()
FILTER = ResolvedFilter(trace_filter=TraceFilter(), tag_ids={})
NEAREST = NeighbourQuery(vector=unit_vector(0), model_id="model", model_version="1", limit=3)
ARGUMENTS: dict[str, dict[str, Any] | list[Any]] = {
    "embedding_models.get_current": {},
    "embedding_models.get_current_and_next": {},
    "embedding_models.get_next": {},
    "embedding_models.has_only_seeds": {},
    "embedding_models.require": {"model": None},
    "encoding_jobs.count_queued": {},
    "encoding_jobs.get_state": {},
    "encoding_jobs.list_texts": {"trace_ids": [ID]},
    "events.get_retained": {},
    "events.list_between": {"after": 0, "up_to": 9, "limit": 9},
    "exact_search.neighbours": [NEAREST],
    "idempotency.get_answer": {"key": RequestKey(method="", request_id=ID, fingerprint=b""), "email": EMAIL},
    "imports.count_items": {"import_id": ID, "email": EMAIL},
    "imports.get_last_sequence": {"import_id": ID, "email": EMAIL},
    "keys.count_live": {"user_id": ID},
    "keys.get": {"key_id": ID},
    "keys.get_many": {"key_ids": [ID]},
    "keys.list": {},
    "keyword_search.find_matches": ["context", NEAREST],
    "revisions.get_many": {"trace_id": ID, "revisions": [1], "full": True},
    "revisions.list_numbers": {"trace_id": ID, "before": None, "size": 9},
    "tag_listing.get": {"name": "tag"},
    "tag_listing.list": {"query": TagQuery(size=9)},
    "tags.get_canonical_names": {"names": ["tag"]},
    "tags.get_ids": {"names": ["tag"]},
    "trace_export.list_oldest_first": {
        "trace_filter": FILTER,
        "after": None,
        "size": 9,
        "text_bytes": 9,
        "model": ("model", "1"),
    },
    "trace_listing.list_newest_first": {"trace_filter": FILTER, "owner_id": None, "after": None, "size": 9},
    "trace_tokens.get_many": {"trace_ids": [ID], "model_version": "1"},
    "traces.get": {"trace_id": ID},
    "traces.get_embedding": {"trace_id": ID},
    "traces.get_existing_ids": {"trace_ids": [ID]},
    "traces.get_id_by_content": {"content_hash": b""},
    "traces.get_including_deleted": {"trace_id": ID},
    "traces.get_many": {"trace_ids": [ID], "full": True},
    "traces.get_supersedes_id": {"trace_id": ID},
    "traces.list_seeds": {},
    "traces.require": {"trace_id": ID},
    "users.get_id": {"email": EMAIL},
    "users.list": {},
    "vector_sample.estimate_trace_count": {},
    "vector_sample.find_random": [LexicalEmbedder(384)],
    "votes.count_traces": {},
    "votes.get": {"trace_id": ID, "voter_id": ID},
    "votes.get_tallies": {"trace_ids": [ID]},
    "votes.list_newest_first": {"trace_id": ID, "after": None, "size": 9},
    "votes.list_trace_ids": {"after": None, "size": 9},
}
"""A call of every method."""
HELD = text("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'")


def methods(reading: Reading) -> dict[str, Callable[..., Any]]:
    return {
        f"{name}.{method}": function
        for name, repository in vars(reading).items()
        for method, function in inspect.getmembers(repository, inspect.ismethod)
        if not method.startswith("_")
    }


async def test_no_method_of_reading_writes(database: Database, database_url: str) -> None:
    trace_id = await stored(database)
    engine = engines.pooled(
        database_url, engines.SESSION_SETTINGS | {"default_transaction_read_only": "on"}, size=1, timeout=10
    )
    async with engine.connect() as connection:
        assert (await connection.execute(text("SHOW transaction_read_only"))).scalar() == "on"
        called = methods(Reading(connection))
        assert sorted(called) == sorted(ARGUMENTS)
        current = await called["embedding_models.get_current"]()
        for name, method in called.items():
            arguments = ARGUMENTS[name]
            if isinstance(arguments, list):
                await method(*arguments)
            elif name == "embedding_models.require":
                await method(current)
            else:
                await method(**{key: trace_id if value is ID else value for key, value in arguments.items()})
            assert (await connection.execute(HELD)).scalar() == 0, name
        # Row locks take an id, too.
        assert (await connection.execute(text("SELECT pg_current_xact_id_if_assigned()"))).scalar() is None
    await engine.dispose()

"""`Reading` offers nothing that writes: each of its methods runs on a connection that cannot write."""

import inspect
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from commontrace.domain.namespaces.namespace import COMMONS_ID
from commontrace.domain.search.neighbours import NeighbourQuery
from commontrace.domain.traces.trace_filter import ResolvedFilter, TraceFilter
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import engines
from commontrace.storage.database import Database
from commontrace.storage.idempotency import RequestKey
from commontrace.storage.tags.listing import TagQuery
from commontrace.storage.unit_of_work import Reading
from tests.integration.storage.storing import EMAIL, stored, unit_vector
from tests.support.commons import EVERY_TRACE, IN_COMMONS

ID = uuid4()
FILTER = ResolvedFilter(trace_filter=TraceFilter(), namespaces=IN_COMMONS)
NEAREST = NeighbourQuery(vector=unit_vector(0), model_id="model", model_version="1", limit=3, trace_filter=EVERY_TRACE)
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
    "events.list_between": {"after": 0, "up_to": 9, "namespaces": IN_COMMONS, "limit": 9},
    "exact_search.neighbours": [NEAREST],
    "idempotency.get_answer": {"key": RequestKey(method="", request_id=ID, fingerprint=b""), "email": EMAIL},
    "imports.count_items": {"import_id": ID, "email": EMAIL},
    "imports.get_last_sequence": {"import_id": ID, "email": EMAIL},
    "keys.count_live": {"user_id": ID},
    "keys.get": {"key_id": ID},
    "keys.get_many": {"key_ids": [ID]},
    "keys.list": {},
    "keyword_search.find_matches": ["context", NEAREST],
    "members.get": {"namespace_id": COMMONS_ID, "email": EMAIL},
    "members.list": {"namespace_id": COMMONS_ID, "after": None, "size": 9},
    "namespace_access.get": {"email": EMAIL, "is_admin": False},
    "namespaces.get_many": {"namespace_ids": [COMMONS_ID]},
    "namespaces.get_missing_names": {"names": ["commons", "other"]},
    "namespaces.is_enabled": {},
    "namespaces.list_names": {"namespace_ids": [COMMONS_ID]},
    "revisions.get_many": {"trace_id": ID, "namespaces": IN_COMMONS, "revisions": [1], "full": True},
    "revisions.list_numbers": {"trace_id": ID, "namespaces": IN_COMMONS, "before": None, "size": 9},
    "tag_listing.get": {"name": "tag", "namespaces": IN_COMMONS},
    "tag_listing.get_any": {"name": "tag", "namespaces": IN_COMMONS},
    "tag_listing.list": {"query": TagQuery(size=9), "namespaces": IN_COMMONS},
    "tags.get_canonical_names": {"names": ["tag"], "namespaces": IN_COMMONS},
    "tags.get_ids": {"names": ["tag"]},
    "trace_export.list_oldest_first": {
        "trace_filter": FILTER,
        "after": None,
        "size": 9,
        "text_bytes": 9,
        "model": ("model", "1"),
    },
    "trace_listing.list_newest_first": {"trace_filter": FILTER, "owner_id": None, "after": None, "size": 9},
    "trace_tokens.get_many": {"trace_ids": [ID], "namespaces": IN_COMMONS, "model_version": "1"},
    "traces.get": {"trace_id": ID, "namespaces": IN_COMMONS},
    "traces.get_embedding": {"trace_id": ID, "namespaces": IN_COMMONS},
    "traces.get_existing_ids": {"trace_ids": [ID]},
    "traces.get_id_by_content": {"content_hash": b"", "namespace_id": COMMONS_ID},
    "traces.get_including_deleted": {"trace_id": ID, "namespaces": IN_COMMONS},
    "traces.get_many": {"trace_ids": [ID], "trace_filter": EVERY_TRACE, "full": True},
    "traces.get_namespace_id": {"trace_id": ID, "namespaces": IN_COMMONS},
    "traces.get_supersedes_id": {"trace_id": ID, "namespaces": IN_COMMONS},
    "traces.list_seeds": {},
    "traces.require": {"trace_id": ID, "namespaces": IN_COMMONS},
    "users.get_id": {"email": EMAIL},
    "users.list": {},
    "vector_index.is_usable": {},
    "vector_sample.estimate_trace_count": {},
    "vector_sample.find_random": [LexicalEmbedder(384)],
    "votes.count_traces": {},
    "votes.get": {"trace_id": ID, "voter_id": ID, "namespaces": IN_COMMONS},
    "votes.get_tallies": {"trace_ids": [ID], "namespaces": IN_COMMONS},
    "votes.list_newest_first": {"trace_id": ID, "namespaces": IN_COMMONS, "after": None, "size": 9},
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

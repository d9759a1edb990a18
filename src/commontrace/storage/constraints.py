"""Constraint violations: each constraint maps to a domain error, or to the reason why no statement can violate it.

Every named constraint and unique index of a migrated database is in one of the two tables; a test compares.
"""

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType

from commontrace.domain.errors import CommonTraceError, ConcurrentChange, InvalidStoredVector

ERRORS: Mapping[str, type[CommonTraceError]] = MappingProxyType(
    {
        "ck_traces_embedding_norm": InvalidStoredVector,
        "ck_traces_next_embedding_norm": InvalidStoredVector,
        # Operators may delete unused tags (docs/security.md): a write that was about to use one creates it again.
        "fk_tag_aliases_tag_id_tags": ConcurrentChange,
        "fk_trace_tags_tag_id_tags": ConcurrentChange,
        # A database that was restored under a running server may lack users whom the server has known.
        "fk_idempotent_requests_caller_id_users": ConcurrentChange,
        "fk_trace_revisions_editor_id_users": ConcurrentChange,
        "fk_traces_contributor_id_users": ConcurrentChange,
        "fk_votes_voter_id_users": ConcurrentChange,
        "ix_traces_content_hash": ConcurrentChange,
        "ix_traces_supersedes_id": ConcurrentChange,
        "pk_traces": ConcurrentChange,
    }
)
"""The domain's error by the name of the constraint."""


class Guard(Enum):
    """Reason why a constraint cannot be violated."""

    GENERATED = auto()
    """The value is a random UUID or the next number of a sequence."""
    CHECKED = auto()
    """The value is one of the code's own, counted, or checked where it came in."""
    UPSERT = auto()
    """Every insert has an ON CONFLICT clause."""
    TRACE_LOCKED = auto()
    """The transaction that adds the row has inserted or locked its trace, and has read its rows."""
    TRACE_HELD = auto()
    """The transaction that adds the reference has inserted or locked the trace, or blocks purges.

    Only purges delete traces. A purge locks the trace exclusively (`TracePurge.lock_exclusively`) before it looks for
    rows that refer to it.
    """
    MERGES_HELD = auto()
    """Only merges add such rows, one merge at a time, after a check."""
    NEVER_DELETED = auto()
    """Rows of the referenced table are never deleted."""
    NAMESPACE_HELD = auto()
    """The transaction that adds the reference holds the namespace, or it is `commons`, which is never deleted."""
    ONE_AT_A_TIME = auto()
    """The row is added after a check, under a lock that every transaction takes which adds such rows."""


GUARDS: Mapping[str, Guard] = MappingProxyType(
    {
        # Migrations.
        "alembic_version_pkc": Guard.ONE_AT_A_TIME,
        # A key has the scopes of an agent unless others are given. Its user is locked before.
        "ck_api_keys_digest": Guard.CHECKED,
        "ck_api_keys_scopes": Guard.CHECKED,
        "fk_api_keys_user_id_users": Guard.NEVER_DELETED,
        "pk_api_keys": Guard.GENERATED,
        # No embedder makes longer vectors. Models are recorded under a lock on the table of traces.
        "ck_embedding_models_dimensions": Guard.CHECKED,
        "ix_embedding_models_current": Guard.ONE_AT_A_TIME,
        "pk_embedding_models": Guard.ONE_AT_A_TIME,
        # Imports, which have no ON CONFLICT, queue traces that they have inserted.
        "fk_encoding_jobs_trace_id_traces": Guard.TRACE_HELD,
        "pk_encoding_jobs": Guard.UPSERT,
        "pk_idempotent_requests": Guard.UPSERT,
        # Messages of one import wait for each other.
        "pk_import_items": Guard.ONE_AT_A_TIME,
        # Members are added under a lock on their namespace.
        "ck_namespace_members_role": Guard.CHECKED,
        "fk_namespace_members_namespace_id_namespaces": Guard.NAMESPACE_HELD,
        "fk_namespace_members_user_id_users": Guard.NEVER_DELETED,
        "pk_namespace_members": Guard.UPSERT,
        "ck_namespaces_visibility": Guard.CHECKED,
        "pk_namespaces": Guard.GENERATED,
        "uq_namespaces_name": Guard.UPSERT,
        "pk_purged_traces": Guard.UPSERT,
        # Names of deleted namespaces, of which each was in `namespaces` before, and no other gets one of them.
        "pk_retired_namespaces": Guard.ONE_AT_A_TIME,
        "ck_quota_windows_kind": Guard.CHECKED,
        "pk_quota_windows": Guard.UPSERT,
        "pk_tag_aliases": Guard.MERGES_HELD,
        "ix_tags_name": Guard.UPSERT,
        "pk_tags": Guard.GENERATED,
        "ck_trace_events_event_type": Guard.CHECKED,
        "pk_trace_events": Guard.GENERATED,
        "fk_trace_revisions_trace_id_traces": Guard.TRACE_HELD,
        "pk_trace_revisions": Guard.TRACE_LOCKED,
        # Added by triggers of traces and trace_tags.
        "fk_trace_signs_trace_id_traces": Guard.TRACE_HELD,
        "pk_trace_signs": Guard.UPSERT,
        # Merges lock no trace, but block purges and use ON CONFLICT.
        "fk_trace_tags_trace_id_traces": Guard.TRACE_HELD,
        "pk_trace_tags": Guard.TRACE_LOCKED,
        # Selected from the trace that they refer to, with ON CONFLICT.
        "fk_trace_tokens_trace_id_traces": Guard.TRACE_HELD,
        "pk_trace_tokens": Guard.UPSERT,
        # Added by a trigger when a trace is added.
        "fk_trace_words_trace_id_traces": Guard.TRACE_HELD,
        "pk_trace_words": Guard.TRACE_LOCKED,
        "ck_traces_counts": Guard.CHECKED,
        "ck_traces_embedding_model": Guard.CHECKED,
        "ck_traces_next_embedding_model": Guard.CHECKED,
        "ck_traces_revision": Guard.CHECKED,
        "ck_traces_status": Guard.CHECKED,
        "fk_traces_namespace_id_namespaces": Guard.NAMESPACE_HELD,
        "fk_traces_promoted_from_id_traces": Guard.TRACE_HELD,
        "fk_traces_superseded_by_id_traces": Guard.TRACE_HELD,
        "fk_traces_supersedes_id_traces": Guard.TRACE_HELD,
        "pk_users": Guard.GENERATED,
        "uq_users_email": Guard.UPSERT,
        "ck_votes_reason": Guard.CHECKED,
        "ck_votes_revision": Guard.CHECKED,
        "ck_votes_vote_type": Guard.CHECKED,
        "fk_votes_trace_id_traces": Guard.TRACE_HELD,
        "pk_votes": Guard.GENERATED,
        "uq_votes_trace_id_voter_id": Guard.UPSERT,
    }
)
"""The reason why each other constraint cannot be violated. A violation is a bug, and INTERNAL."""

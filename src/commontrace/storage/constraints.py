"""What it means that a constraint is violated: an error of the domain, or that the code is wrong, because it cannot be.

Every named constraint and unique index of a migrated database is in one of the two tables; a test compares.
"""

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType

from commontrace.domain.errors import CommonTraceError, ConcurrentChange, InvalidStoredVector

MEANINGS: Mapping[str, type[CommonTraceError]] = MappingProxyType(
    {
        "ck_traces_embedding_norm": InvalidStoredVector,
        "ck_traces_next_embedding_norm": InvalidStoredVector,
        # Operators may delete tags that no trace has (docs/security.md): whoever was about to use one creates it anew.
        "fk_tag_aliases_tag_id_tags": ConcurrentChange,
        "fk_trace_tags_tag_id_tags": ConcurrentChange,
        "ix_traces_content_hash": ConcurrentChange,
        "ix_traces_supersedes_id": ConcurrentChange,
        "pk_traces": ConcurrentChange,
    }
)
"""The domain's error by the name of the constraint."""


class Guard(Enum):
    """Why a constraint cannot be violated."""

    GENERATED = auto()
    """The value is a random UUID or the next number of a sequence."""
    CHECKED = auto()
    """The value is one of the code's own, counted, or checked where it came in."""
    UPSERT = auto()
    """Every insert says what becomes of a row that is there (ON CONFLICT)."""
    TRACE_LOCKED = auto()
    """Whoever adds the row has inserted or locked its trace, and knows which rows it has."""
    TRACE_HELD = auto()
    """Whoever adds the reference has inserted or locked the trace, or holds off purges, which alone delete traces.

    A purge locks out everybody who refers to the trace before it looks for what does (`TracePurge.lock_out`).
    """
    MERGES_HELD = auto()
    """Only merges add such rows, one at a time, and look before."""
    NEVER_DELETED = auto()
    """What it refers to is never deleted."""
    ONE_AT_A_TIME = auto()
    """Whoever adds the row has looked for it under a lock that everybody takes who adds such rows."""


GUARDS: Mapping[str, Guard] = MappingProxyType(
    {
        # Migrations.
        "alembic_version_pkc": Guard.ONE_AT_A_TIME,
        # A key has the scopes of an agent unless others are given. Its user is held, and asked for before.
        "ck_api_keys_digest": Guard.CHECKED,
        "ck_api_keys_scopes": Guard.CHECKED,
        "fk_api_keys_user_id_users": Guard.NEVER_DELETED,
        "pk_api_keys": Guard.GENERATED,
        # No embedder makes longer vectors. Models are recorded under a lock on all traces.
        "ck_embedding_models_dimensions": Guard.CHECKED,
        "ix_embedding_models_current": Guard.ONE_AT_A_TIME,
        "pk_embedding_models": Guard.ONE_AT_A_TIME,
        # Imports, which have no ON CONFLICT, queue traces that they have inserted.
        "fk_encoding_jobs_trace_id_traces": Guard.TRACE_HELD,
        "pk_encoding_jobs": Guard.UPSERT,
        "fk_idempotent_requests_caller_id_users": Guard.NEVER_DELETED,
        "pk_idempotent_requests": Guard.UPSERT,
        # Messages of one import wait for each other.
        "pk_import_items": Guard.ONE_AT_A_TIME,
        "pk_purged_traces": Guard.UPSERT,
        "ck_quota_windows_kind": Guard.CHECKED,
        "pk_quota_windows": Guard.UPSERT,
        "pk_tag_aliases": Guard.MERGES_HELD,
        "ix_tags_name": Guard.UPSERT,
        "pk_tags": Guard.GENERATED,
        "ck_trace_events_event_type": Guard.CHECKED,
        "pk_trace_events": Guard.GENERATED,
        "fk_trace_revisions_editor_id_users": Guard.NEVER_DELETED,
        "fk_trace_revisions_trace_id_traces": Guard.TRACE_HELD,
        "pk_trace_revisions": Guard.TRACE_LOCKED,
        # Triggers add them for whoever changes a trace or its tags.
        "fk_trace_signs_trace_id_traces": Guard.TRACE_HELD,
        "pk_trace_signs": Guard.UPSERT,
        # Merges lock no trace, but hold off purges and say ON CONFLICT.
        "fk_trace_tags_trace_id_traces": Guard.TRACE_HELD,
        "pk_trace_tags": Guard.TRACE_LOCKED,
        # Triggers add them for whoever adds a trace.
        "fk_trace_words_trace_id_traces": Guard.TRACE_HELD,
        "pk_trace_words": Guard.TRACE_LOCKED,
        "ck_traces_counts": Guard.CHECKED,
        "ck_traces_embedding_model": Guard.CHECKED,
        "ck_traces_next_embedding_model": Guard.CHECKED,
        "ck_traces_revision": Guard.CHECKED,
        "ck_traces_status": Guard.CHECKED,
        "fk_traces_contributor_id_users": Guard.NEVER_DELETED,
        "fk_traces_superseded_by_id_traces": Guard.TRACE_HELD,
        "fk_traces_supersedes_id_traces": Guard.TRACE_HELD,
        "pk_users": Guard.GENERATED,
        "uq_users_email": Guard.UPSERT,
        "ck_votes_reason": Guard.CHECKED,
        "ck_votes_revision": Guard.CHECKED,
        "ck_votes_vote_type": Guard.CHECKED,
        "fk_votes_trace_id_traces": Guard.TRACE_HELD,
        "fk_votes_voter_id_users": Guard.NEVER_DELETED,
        "pk_votes": Guard.GENERATED,
        "uq_votes_trace_id_voter_id": Guard.UPSERT,
    }
)
"""Why each of the others cannot be violated. One that is all the same is a mistake of ours, and INTERNAL."""

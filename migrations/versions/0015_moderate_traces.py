"""Adds hiding of traces by moderators, and the event of a purge."""

import sqlalchemy as sa
from alembic import op

revision = "0015_moderate_traces"
down_revision = "0014_create_api_keys"

_TYPES = ("created", "updated", "validated", "demoted", "superseded", "deleted", "undeleted")


def upgrade() -> None:
    """Adds the columns and the type of event."""
    op.add_column("traces", sa.Column("hidden_at", sa.DateTime(timezone=True)))
    op.add_column("traces", sa.Column("hide_reason", sa.String(), server_default="", nullable=False))
    _allow(*_TYPES, "purged")


def downgrade() -> None:
    """Drops the marks of hidden traces, which their owners can then restore, and the events of purges."""
    op.execute("DELETE FROM trace_events WHERE event_type = 'purged'")
    _allow(*_TYPES)
    op.drop_column("traces", "hide_reason")
    op.drop_column("traces", "hidden_at")


def _allow(*types: str) -> None:
    op.drop_constraint(op.f("ck_trace_events_event_type"), "trace_events")
    op.create_check_constraint(
        op.f("ck_trace_events_event_type"), "trace_events", f"event_type IN ({', '.join(map(repr, types))})"
    )

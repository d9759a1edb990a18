"""Creates the event log of traces."""

import sqlalchemy as sa
from alembic import op

revision = "0009_create_trace_events"
down_revision = "0008_create_encoding_jobs"

_TYPES = ("created", "updated", "validated", "demoted", "superseded", "deleted", "undeleted")


def upgrade() -> None:
    """Creates the table; earlier changes have no events."""
    op.create_table(
        "trace_events",
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        # No foreign key: an event outlives its trace.
        sa.Column("trace_id", sa.Uuid(), nullable=False),
        sa.Column("event_type", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_trace_events"),
        sa.CheckConstraint(f"event_type IN ({', '.join(map(repr, _TYPES))})", name=op.f("ck_trace_events_event_type")),
    )
    op.create_index("ix_trace_events_created_at", "trace_events", ["created_at"], postgresql_using="brin")


def downgrade() -> None:
    """Drops the events."""
    op.drop_table("trace_events")

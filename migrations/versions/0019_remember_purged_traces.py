"""Records the ids of purged traces, so that no import restores them."""

import sqlalchemy as sa
from alembic import op

revision = "0019_remember_purged_traces"
down_revision = "0018_count_tag_names"


def upgrade() -> None:
    """Creates the table, with the ids of retained purge events."""
    op.create_table(
        "purged_traces",
        sa.Column("trace_id", sa.Uuid(), nullable=False),
        sa.Column("purged_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", name="pk_purged_traces"),
    )
    op.execute(
        "INSERT INTO purged_traces (trace_id, purged_at)"
        " SELECT trace_id, max(created_at) FROM trace_events WHERE event_type = 'purged' GROUP BY trace_id"
    )


def downgrade() -> None:
    """Drops the ids."""
    op.drop_table("purged_traces")

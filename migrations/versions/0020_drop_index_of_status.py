"""Removes the status of traces from indexes: each validation added an entry to all, the vector index included."""

from alembic import op

revision = "0020_drop_index_of_status"
down_revision = "0019_remember_purged_traces"


def upgrade() -> None:
    """Drops the index. Filters by status use `trace_signs`; older servers read more rows until they stop."""
    op.drop_index("ix_traces_status", "traces", if_exists=True)


def downgrade() -> None:
    """Creates the index again."""
    op.create_index("ix_traces_status", "traces", ["status"], if_not_exists=True)

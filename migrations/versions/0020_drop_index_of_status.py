"""Takes the status of traces out of their indexes: each validation was a new entry in all of them, the vectors' too."""

from alembic import op

revision = "0020_drop_index_of_status"
down_revision = "0019_remember_purged_traces"


def upgrade() -> None:
    """Drops the index. What filters by status reads `trace_signs`; servers from before read more until they end."""
    op.drop_index("ix_traces_status", "traces", if_exists=True)


def downgrade() -> None:
    """Creates it again."""
    op.create_index("ix_traces_status", "traces", ["status"], if_not_exists=True)

"""Creates the table of the signs of tokens, for late interaction; who lacks them alone comes last in the queue."""

import sqlalchemy as sa
from alembic import op

revision = "0021_create_trace_tokens"
down_revision = "0020_drop_index_of_status"


def upgrade() -> None:
    """Creates the table, empty: encoding a trace fills it."""
    op.create_table(
        "trace_tokens",
        sa.Column("trace_id", sa.Uuid(), nullable=False),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("signs", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "model_version", name="pk_trace_tokens"),
        sa.ForeignKeyConstraint(
            ["trace_id"], ["traces.id"], name="fk_trace_tokens_trace_id_traces", ondelete="CASCADE"
        ),
    )
    # Signs do not compress: 15 KB of a trace take 0.4 ms to try.
    op.execute("ALTER TABLE trace_tokens ALTER COLUMN signs SET STORAGE EXTERNAL")
    # Traces that no search finds yet are encoded before those that lack their tokens alone.
    op.add_column("encoding_jobs", sa.Column("has_vector", sa.Boolean(), server_default="false", nullable=False))
    _create_queue_index("has_vector", "due_at")


def downgrade() -> None:
    """Drops the table, and orders the queue by time alone."""
    _create_queue_index("due_at")
    op.drop_column("encoding_jobs", "has_vector")
    op.drop_table("trace_tokens")


def _create_queue_index(*columns: str) -> None:
    op.drop_index("ix_encoding_jobs_due_at", "encoding_jobs")
    op.create_index(
        "ix_encoding_jobs_due_at", "encoding_jobs", list(columns), postgresql_where=sa.text("given_up_at IS NULL")
    )

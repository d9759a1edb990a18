"""Creates the encoding queue."""

import sqlalchemy as sa
from alembic import op

revision = "0008_create_encoding_jobs"
down_revision = "0007_create_tag_aliases"


def upgrade() -> None:
    """Creates the queue, with a job for every trace without a vector."""
    op.create_table(
        "encoding_jobs",
        sa.Column("trace_id", sa.Uuid(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_error", sa.String(), server_default="", nullable=False),
        sa.Column("given_up_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", name="pk_encoding_jobs"),
        sa.ForeignKeyConstraint(["trace_id"], ["traces.id"], name="fk_encoding_jobs_trace_id_traces"),
    )
    op.create_index(
        "ix_encoding_jobs_due_at", "encoding_jobs", ["due_at"], postgresql_where=sa.text("given_up_at IS NULL")
    )
    op.execute("INSERT INTO encoding_jobs (trace_id) SELECT id FROM traces WHERE embedding IS NULL")


def downgrade() -> None:
    """Drops the queue."""
    op.drop_table("encoding_jobs")

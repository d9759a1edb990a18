"""Creates the table of the signs of traces' tokens, which late interaction re-ranks by."""

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


def downgrade() -> None:
    """Drops the table."""
    op.drop_table("trace_tokens")

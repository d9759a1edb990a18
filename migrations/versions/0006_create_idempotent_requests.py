"""Stores the answers to writes with a request id."""

import sqlalchemy as sa
from alembic import op

revision = "0006_create_idempotent_requests"
down_revision = "0005_identify_traces"


def upgrade() -> None:
    """Creates the table, with an index that finds expired answers."""
    op.create_table(
        "idempotent_requests",
        sa.Column("caller_id", sa.Uuid(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("caller_id", "method", "request_id", name="pk_idempotent_requests"),
        sa.ForeignKeyConstraint(["caller_id"], ["users.id"], name="fk_idempotent_requests_caller_id_users"),
    )
    op.create_index("ix_idempotent_requests_created_at", "idempotent_requests", ["created_at"])


def downgrade() -> None:
    """Drops the answers."""
    op.drop_table("idempotent_requests")

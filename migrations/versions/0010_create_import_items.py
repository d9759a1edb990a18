"""Creates the log of imported items."""

import sqlalchemy as sa
from alembic import op

revision = "0010_create_import_items"
down_revision = "0009_create_trace_events"


def upgrade() -> None:
    """Creates the table."""
    op.create_table(
        "import_items",
        sa.Column("caller_id", sa.Uuid(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        # No foreign keys: an import adds up to hundreds of thousands of rows, which are only read back.
        sa.Column("trace_id", sa.Uuid(), nullable=False),
        sa.Column("is_new", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("caller_id", "import_id", "sequence", name="pk_import_items"),
    )
    op.create_index("ix_import_items_created_at", "import_items", ["created_at"], postgresql_using="brin")


def downgrade() -> None:
    """Drops the log; the traces stay."""
    op.drop_table("import_items")

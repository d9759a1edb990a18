"""Enables pgvector, wherever the database's owner has put it."""

from alembic import op

revision = "0000_enable_pgvector"
down_revision = None


def upgrade() -> None:
    """Creates the extension unless a superuser already did."""
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")


def downgrade() -> None:
    """Leaves the extension: it may have been there before, and others may use it."""

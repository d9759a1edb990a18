"""Enables pgvector, in the schema where the database's owner has put it."""

from alembic import op

revision = "0000_enable_pgvector"
down_revision = None


def upgrade() -> None:
    """Creates the extension unless it exists."""
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")


def downgrade() -> None:
    """Leaves the extension: it may be older than the service, and other applications may use it."""

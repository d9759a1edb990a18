"""Creates the counts of quotas."""

import sqlalchemy as sa
from alembic import op

revision = "0016_count_quotas"
down_revision = "0015_moderate_traces"


def upgrade() -> None:
    """Creates the table."""
    op.create_table(
        "quota_windows",
        # No foreign key: a caller becomes a user with its first write.
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("email", "kind", name="pk_quota_windows"),
        sa.CheckConstraint("kind IN ('reads', 'writes')", name=op.f("ck_quota_windows_kind")),
    )


def downgrade() -> None:
    """Drops the counts."""
    op.drop_table("quota_windows")

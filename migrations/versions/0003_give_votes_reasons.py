"""Gives votes a reason and a comment."""

import sqlalchemy as sa
from alembic import op

revision = "0003_give_votes_reasons"
down_revision = "0002_create_embedding_models"


def upgrade() -> None:
    """Adds the columns. Older DOWN votes get the reason that claims least."""
    op.add_column("votes", sa.Column("reason", sa.String()))
    op.add_column("votes", sa.Column("comment", sa.String(), server_default="", nullable=False))
    op.execute("UPDATE votes SET reason = 'incorrect' WHERE vote_type = 'down'")
    op.create_check_constraint(
        op.f("ck_votes_reason"),
        "votes",
        "(vote_type = 'down') = (reason IS NOT NULL)"
        " AND (reason IS NULL OR reason IN ('outdated', 'incorrect', 'harmful', 'duplicate', 'spam'))",
    )


def downgrade() -> None:
    """Drops reasons and comments."""
    op.drop_constraint(op.f("ck_votes_reason"), "votes")
    op.drop_column("votes", "comment")
    op.drop_column("votes", "reason")

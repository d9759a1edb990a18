"""Adds descriptions and aliases of tags."""

import sqlalchemy as sa
from alembic import op

revision = "0007_create_tag_aliases"
down_revision = "0006_create_idempotent_requests"


def upgrade() -> None:
    """Adds the description and creates the table."""
    op.add_column("tags", sa.Column("description", sa.String(), server_default="", nullable=False))
    op.create_table(
        "tag_aliases",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("tag_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_tag_aliases"),
        sa.ForeignKeyConstraint(["tag_id"], ["tags.id"], name="fk_tag_aliases_tag_id_tags"),
    )
    op.create_index("ix_tag_aliases_tag_id", "tag_aliases", ["tag_id"])


def downgrade() -> None:
    """Drops aliases and descriptions; merged tags stay merged."""
    op.drop_table("tag_aliases")
    op.drop_column("tags", "description")

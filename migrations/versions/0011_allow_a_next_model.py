"""Lets the database know the model it is being re-encoded for beside the current one."""

import sqlalchemy as sa
from alembic import op

revision = "0011_allow_a_next_model"
down_revision = "0010_create_import_items"


def upgrade() -> None:
    """Tells models apart by id, version and length: the next one may differ in nothing but one of them."""
    op.drop_constraint("pk_embedding_models", "embedding_models")
    op.create_primary_key("pk_embedding_models", "embedding_models", ["id", "version", "dimensions"])


def downgrade() -> None:
    """Forgets every model but the current one, which alone has vectors in use."""
    op.execute(sa.text("DELETE FROM embedding_models WHERE NOT is_current"))
    op.drop_constraint("pk_embedding_models", "embedding_models")
    op.create_primary_key("pk_embedding_models", "embedding_models", ["id"])

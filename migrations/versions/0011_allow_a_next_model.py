"""Allows a record of the next embedding model beside the current one."""

import sqlalchemy as sa
from alembic import op

revision = "0011_allow_a_next_model"
down_revision = "0010_create_import_items"


def upgrade() -> None:
    """Identifies models by id, version and dimensions: the next one may differ in only one of them."""
    op.drop_constraint("pk_embedding_models", "embedding_models")
    op.create_primary_key("pk_embedding_models", "embedding_models", ["id", "version", "dimensions"])


def downgrade() -> None:
    """Drops every model but the current one, whose vectors alone are in use."""
    op.execute(sa.text("DELETE FROM embedding_models WHERE NOT is_current"))
    op.drop_constraint("pk_embedding_models", "embedding_models")
    op.create_primary_key("pk_embedding_models", "embedding_models", ["id"])

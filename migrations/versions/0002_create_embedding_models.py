"""Records the embedding model of the database's vectors."""

import sqlalchemy as sa
from alembic import context, op

revision = "0002_create_embedding_models"
down_revision = "0001_initial_schema"


def upgrade() -> None:
    """Creates the table and records the model that the database is created for."""
    table = op.create_table(
        "embedding_models",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("is_lexical", sa.Boolean(), nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_embedding_models"),
        sa.CheckConstraint("dimensions BETWEEN 1 AND 2000", name=op.f("ck_embedding_models_dimensions")),
    )
    op.create_index(
        "ix_embedding_models_current",
        "embedding_models",
        ["is_current"],
        unique=True,
        postgresql_where=sa.text("is_current"),
    )
    model = context.config.attributes["embedding_model"]
    column = "SELECT atttypmod FROM pg_attribute WHERE attrelid = 'traces'::regclass AND attname = 'embedding'"
    dimensions = op.get_bind().execute(sa.text(column)).scalar_one()
    if dimensions != model.dimensions:
        raise RuntimeError(f"traces.embedding has {dimensions} dimensions; {model.model_id} makes {model.dimensions}")
    op.bulk_insert(
        table,
        [
            {
                "id": model.model_id,
                "version": model.model_version,
                "dimensions": model.dimensions,
                "is_lexical": model.is_lexical,
                "is_current": True,
            }
        ],
    )


def downgrade() -> None:
    """Drops the record of the model."""
    op.drop_table("embedding_models")

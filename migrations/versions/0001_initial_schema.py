"""Creates users, traces, votes, tags and trace_tags."""

import sqlalchemy as sa
from alembic import context, op
from pgvector.sqlalchemy import VECTOR
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001_initial_schema"
down_revision = "0000_enable_pgvector"


def upgrade() -> None:
    """Creates the tables and indexes. Vectors get the dimensions of the model that the database is created for."""
    dimensions = context.config.attributes["embedding_model"].dimensions

    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("display_name", sa.String(), server_default="", nullable=False),
        sa.Column("reputation_score", sa.Float(), server_default="0", nullable=False),
        sa.Column("is_seed", sa.Boolean(), server_default="false", nullable=False),
        *timestamps(),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
    )

    op.create_table(
        "traces",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("context_text", sa.String(), nullable=False),
        sa.Column("solution_text", sa.String(), nullable=False),
        sa.Column("embedding", VECTOR(dimensions)),
        sa.Column("embedding_model_id", sa.String()),
        sa.Column("embedding_model_version", sa.String()),
        sa.Column("status", sa.String(), server_default="pending", nullable=False),
        sa.Column("trust_score", sa.Float(), server_default="0", nullable=False),
        sa.Column("confirmation_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("down_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("contributor_id", sa.Uuid(), nullable=False),
        sa.Column("agent_model", sa.String(), server_default="", nullable=False),
        sa.Column("agent_version", sa.String(), server_default="", nullable=False),
        sa.Column("metadata_json", JSONB(), server_default="{}", nullable=False),
        sa.Column("is_seed", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        *timestamps(),
        sa.PrimaryKeyConstraint("id", name="pk_traces"),
        sa.ForeignKeyConstraint(["contributor_id"], ["users.id"], name="fk_traces_contributor_id_users"),
        sa.CheckConstraint("status IN ('pending', 'validated')", name=op.f("ck_traces_status")),
        sa.CheckConstraint("confirmation_count >= 0 AND down_count >= 0", name=op.f("ck_traces_counts")),
        sa.CheckConstraint("revision >= 1", name=op.f("ck_traces_revision")),
        sa.CheckConstraint("vector_norm(embedding) BETWEEN 0.999 AND 1.001", name=op.f("ck_traces_embedding_norm")),
        sa.CheckConstraint(
            "(embedding IS NULL) = (embedding_model_id IS NULL)"
            " AND (embedding IS NULL) = (embedding_model_version IS NULL)",
            name=op.f("ck_traces_embedding_model"),
        ),
        # Long text out of line and room in every page: a change of the counters is a HOT update, which does not touch
        # the vector index. 5,000 rows of 2 KB: 100 % HOT and 4,000 updates/s, against 53 % and 1,300 with the defaults.
        # 85 would leave no room for another version of rows of 1,640 to 1,740 bytes: 61 % HOT.
        postgresql_with={"fillfactor": 80, "toast_tuple_target": 256},
    )
    op.create_index("ix_traces_status", "traces", ["status"])
    op.create_index("ix_traces_contributor_id", "traces", ["contributor_id"])
    op.create_index("ix_traces_created_at", "traces", ["created_at"])
    op.create_index(
        "ix_traces_embedding_hnsw",
        "traces",
        ["embedding"],
        postgresql_using="hnsw",
        postgresql_with={"m": 16, "ef_construction": 64},
        postgresql_ops={"embedding": "vector_cosine_ops"},
    )

    op.create_table(
        "votes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("trace_id", sa.Uuid(), nullable=False),
        sa.Column("voter_id", sa.Uuid(), nullable=False),
        sa.Column("vote_type", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        *timestamps(),
        sa.PrimaryKeyConstraint("id", name="pk_votes"),
        sa.UniqueConstraint("trace_id", "voter_id", name="uq_votes_trace_id_voter_id"),
        sa.ForeignKeyConstraint(["trace_id"], ["traces.id"], name="fk_votes_trace_id_traces"),
        sa.ForeignKeyConstraint(["voter_id"], ["users.id"], name="fk_votes_voter_id_users"),
        sa.CheckConstraint("vote_type IN ('up', 'down')", name=op.f("ck_votes_vote_type")),
        sa.CheckConstraint("revision >= 1", name=op.f("ck_votes_revision")),
    )
    op.create_index("ix_votes_voter_id", "votes", ["voter_id"])

    op.create_table(
        "tags",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("is_curated", sa.Boolean(), server_default="false", nullable=False),
        *timestamps(),
        sa.PrimaryKeyConstraint("id", name="pk_tags"),
    )
    op.create_index("ix_tags_name", "tags", ["name"], unique=True)

    op.create_table(
        "trace_tags",
        sa.Column("trace_id", sa.Uuid(), nullable=False),
        sa.Column("tag_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "tag_id", name="pk_trace_tags"),
        sa.ForeignKeyConstraint(["trace_id"], ["traces.id"], name="fk_trace_tags_trace_id_traces"),
        sa.ForeignKeyConstraint(["tag_id"], ["tags.id"], name="fk_trace_tags_tag_id_tags"),
    )
    op.create_index("ix_trace_tags_tag_id_trace_id", "trace_tags", ["tag_id", "trace_id"])


def downgrade() -> None:
    """Drops the tables."""
    for table in ("trace_tags", "tags", "votes", "traces", "users"):
        op.drop_table(table)


def timestamps() -> tuple[sa.Column[object], sa.Column[object]]:
    """Returns the columns of creation and last change."""
    now = sa.text("now()")
    return (
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
    )

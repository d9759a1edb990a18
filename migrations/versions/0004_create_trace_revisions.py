"""Creates the revisions of traces' texts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0004_create_trace_revisions"
down_revision = "0003_give_votes_reasons"


def upgrade() -> None:
    """Creates the table, with the current texts as first revisions."""
    op.create_table(
        "trace_revisions",
        sa.Column("trace_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("context_text", sa.String(), nullable=False),
        sa.Column("solution_text", sa.String(), nullable=False),
        sa.Column("changed_fields", ARRAY(sa.String()), nullable=False),
        sa.Column("editor_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "revision", name="pk_trace_revisions"),
        sa.ForeignKeyConstraint(["trace_id"], ["traces.id"], name="fk_trace_revisions_trace_id_traces"),
        sa.ForeignKeyConstraint(["editor_id"], ["users.id"], name="fk_trace_revisions_editor_id_users"),
    )
    op.execute(
        "INSERT INTO trace_revisions"
        " (trace_id, revision, title, context_text, solution_text, changed_fields, editor_id, created_at)"
        " SELECT id, revision, title, context_text, solution_text, '{title,context,solution}', contributor_id,"
        " created_at FROM traces"
    )


def downgrade() -> None:
    """Drops all revisions but the current texts."""
    op.drop_table("trace_revisions")

"""Identifies traces by content hash, edit number (etag), and supersession."""

import sqlalchemy as sa
from alembic import op

from commontrace.domain.traces.content_hash import content_hash

revision = "0005_identify_traces"
down_revision = "0004_create_trace_revisions"

_BATCH = 500


def upgrade() -> None:
    """Adds the columns. Of live traces with the same content, only the first gets a hash: the others duplicate it."""
    op.add_column("traces", sa.Column("content_hash", sa.LargeBinary()))
    op.add_column("traces", sa.Column("edit_number", sa.Integer(), server_default="1", nullable=False))
    op.add_column("traces", sa.Column("supersedes_id", sa.Uuid()))
    op.add_column("traces", sa.Column("superseded_by_id", sa.Uuid()))
    op.create_foreign_key("fk_traces_supersedes_id_traces", "traces", "traces", ["supersedes_id"], ["id"])
    op.create_foreign_key("fk_traces_superseded_by_id_traces", "traces", "traces", ["superseded_by_id"], ["id"])
    _hash_contents()
    live = sa.text("deleted_at IS NULL")
    op.create_index("ix_traces_content_hash", "traces", ["content_hash"], unique=True, postgresql_where=live)
    op.create_index("ix_traces_supersedes_id", "traces", ["supersedes_id"], unique=True, postgresql_where=live)


def downgrade() -> None:
    """Drops the columns and what depends on them."""
    for index in ("ix_traces_supersedes_id", "ix_traces_content_hash"):
        op.drop_index(index, "traces")
    for column in ("superseded_by_id", "supersedes_id", "edit_number", "content_hash"):
        op.drop_column("traces", column)


def _hash_contents() -> None:
    connection = op.get_bind()
    ids = connection.execute(sa.text("SELECT id FROM traces ORDER BY created_at, id")).scalars().all()
    texts = sa.text("SELECT id, title, context_text, solution_text, deleted_at FROM traces WHERE id = ANY(:ids)")
    store = sa.text("UPDATE traces SET content_hash = :content_hash WHERE id = :id")
    taken: set[bytes] = set()
    for start in range(0, len(ids), _BATCH):
        batch = ids[start : start + _BATCH]
        rows = {row.id: row for row in connection.execute(texts, {"ids": batch})}
        for row in map(rows.__getitem__, batch):
            hashed = content_hash(row.title, row.context_text, row.solution_text)
            if row.deleted_at is None:
                if hashed in taken:
                    continue
                taken.add(hashed)
            connection.execute(store, {"content_hash": hashed, "id": row.id})

"""Creates the index of words for keyword searches."""

import sqlalchemy as sa
from alembic import op

revision = "0013_index_words"
down_revision = "0012_create_trace_signs"

# The text parser of Postgres searches for the end of some words again from each of their characters, and for the end of
# `<!--` up to the end of the text: 30 s for 100 KB. So runs are cut every 50 characters, and `<` is removed. The COST
# keeps the planner from parsing texts instead of using the index, however few rows there are. The SET clause keeps the
# function from being inlined, which would lose that cost.
_FUNCTION = r"""
CREATE FUNCTION words_of(title varchar, context varchar, solution varchar) RETURNS tsvector
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 10000 SET search_path = pg_catalog
RETURN to_tsvector('english', regexp_replace(
    translate(title || ' ' || context || ' ' || solution, '<', ' '), '(\S{50})', '\1 ', 'g'
))
"""


def upgrade() -> None:
    """Creates the index on an expression: a column would rewrite the table. Every write maintains it."""
    op.execute(sa.text(_FUNCTION))
    op.create_index(
        "ix_traces_words",
        "traces",
        [sa.text("words_of(title, context_text, solution_text)")],
        postgresql_using="gin",
        # Every search reads the whole pending list. Kilobytes.
        postgresql_with={"gin_pending_list_limit": 256},
    )
    # Without statistics: every ANALYZE would parse 30,000 texts, for numbers that no plan needs.
    op.execute(sa.text("ALTER INDEX ix_traces_words ALTER COLUMN 1 SET STATISTICS 0"))


def downgrade() -> None:
    """Drops the index."""
    op.drop_index("ix_traces_words", "traces")
    op.execute(sa.text("DROP FUNCTION words_of(varchar, varchar, varchar)"))

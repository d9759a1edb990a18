"""Lets traces be found by the words they hold."""

import sqlalchemy as sa
from alembic import op

revision = "0013_index_words"
down_revision = "0012_create_trace_signs"

# Postgres looks for the end of some words from each of their characters anew, and of `<!--` from there to the end of
# the text: 30 s for 100 KB. So runs are cut every 50 characters, and there is no `<`. The cost keeps the planner from
# taking texts apart instead of looking words up, however few rows there are; a function with a setting of its own is
# not replaced by its body, which would cost less.
_FUNCTION = r"""
CREATE FUNCTION words_of(title varchar, context varchar, solution varchar) RETURNS tsvector
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 10000 SET search_path = pg_catalog
RETURN to_tsvector('english', regexp_replace(
    translate(title || ' ' || context || ' ' || solution, '<', ' '), '(\S{50})', '\1 ', 'g'
))
"""


def upgrade() -> None:
    """Creates the index: no column, so that the table is not written anew and every way to write keeps it true."""
    op.execute(sa.text(_FUNCTION))
    op.create_index(
        "ix_traces_words",
        "traces",
        [sa.text("words_of(title, context_text, solution_text)")],
        postgresql_using="gin",
        # Searches read one by one what waits to be sorted in. Kilobytes.
        postgresql_with={"gin_pending_list_limit": 256},
    )
    # Every ANALYZE would take 30,000 texts apart, for statistics that no plan needs.
    op.execute(sa.text("ALTER INDEX ix_traces_words ALTER COLUMN 1 SET STATISTICS 0"))


def downgrade() -> None:
    """Drops the index."""
    op.drop_index("ix_traces_words", "traces")
    op.execute(sa.text("DROP FUNCTION words_of(varchar, varchar, varchar)"))

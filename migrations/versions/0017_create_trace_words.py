"""Moves the words of traces to a table: read by id, and counted by ANALYZE, which finds the common ones."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017_create_trace_words"
down_revision = "0016_count_quotas"

_WORDS = "strip(words_of({row}title, {row}context_text, {row}solution_text))"
_OLD, _NEW = (
    ", ".join(f"{row}.{name}" for name in ("title", "context_text", "solution_text")) for row in ("OLD", "NEW")
)
_FUNCTIONS = {
    "add_trace_words": f"INSERT INTO trace_words (trace_id, words) SELECT id, {_WORDS.format(row='')} FROM changed",  # noqa: S608 - our own names
    "change_trace_words": f"UPDATE trace_words SET words = {_WORDS.format(row='NEW.')} WHERE trace_id = NEW.id",  # noqa: S608 - our own names
}
_TRIGGERS = (
    "words_of_new AFTER INSERT ON traces REFERENCING NEW TABLE AS changed"
    " FOR EACH STATEMENT EXECUTE FUNCTION add_trace_words()",
    "words_of_changed AFTER UPDATE OF title, context_text, solution_text ON traces FOR EACH ROW"
    f" WHEN (({_OLD}) IS DISTINCT FROM ({_NEW})) EXECUTE FUNCTION change_trace_words()",
)
# Statistics target. ANALYZE samples 300 times this number of rows, and keeps ten times this number of words.
_STATISTICS = 400


def upgrade() -> None:
    """Creates the table and the triggers that maintain it, and moves the index to it."""
    op.create_table(
        "trace_words",
        sa.Column("trace_id", sa.Uuid(), nullable=False),
        sa.Column("words", postgresql.TSVECTOR(), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", name="pk_trace_words"),
        sa.ForeignKeyConstraint(["trace_id"], ["traces.id"], name="fk_trace_words_trace_id_traces", ondelete="CASCADE"),
    )
    op.execute(f"ALTER TABLE trace_words ALTER COLUMN words SET STATISTICS {_STATISTICS}")
    op.execute(f"INSERT INTO trace_words (trace_id, words) SELECT id, {_WORDS.format(row='')} FROM traces")  # noqa: S608 - our own names
    op.create_index(
        "ix_trace_words_words",
        "trace_words",
        ["words"],
        postgresql_using="gin",
        # Every search reads the whole pending list. Kilobytes.
        postgresql_with={"gin_pending_list_limit": 256},
    )
    op.drop_index("ix_traces_words", "traces")
    for name, action in _FUNCTIONS.items():
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {action}; RETURN NULL; END $$"
        )
    for trigger in _TRIGGERS:
        op.execute(f"CREATE TRIGGER {trigger}")
    op.execute("ANALYZE trace_words")


def downgrade() -> None:
    """Moves the index back, and drops the table and its triggers."""
    op.create_index(
        "ix_traces_words",
        "traces",
        [sa.text("words_of(title, context_text, solution_text)")],
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": 256},
    )
    op.execute(sa.text("ALTER INDEX ix_traces_words ALTER COLUMN 1 SET STATISTICS 0"))
    for trigger in _TRIGGERS:
        op.execute(f"DROP TRIGGER {trigger.split(' ', 1)[0]} ON traces")
    for name in _FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}()")
    op.drop_table("trace_words")

"""Creates the narrow table of filtered searches: binary quantized vectors, and the columns of filters."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012_create_trace_signs"
down_revision = "0011_allow_a_next_model"

# Locks its rows before it reads: a transaction that waited sees the changes of the previous one.
_REFRESH = """
CREATE FUNCTION refresh_trace_signs(changed uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM trace_signs WHERE trace_id = ANY (changed) ORDER BY trace_id FOR UPDATE;
    INSERT INTO trace_signs
        (trace_id, signs, status, contributor_id, agent_model, created_at, is_live, is_current, tag_ids)
    SELECT id, binary_quantize(embedding), status, contributor_id, agent_model, created_at,
        deleted_at IS NULL, superseded_by_id IS NULL,
        ARRAY(SELECT tag_id FROM trace_tags WHERE trace_tags.trace_id = traces.id ORDER BY tag_id)
    FROM traces WHERE id = ANY (changed) ORDER BY id
    ON CONFLICT (trace_id) DO UPDATE SET
        signs = excluded.signs, status = excluded.status, contributor_id = excluded.contributor_id,
        agent_model = excluded.agent_model, created_at = excluded.created_at, is_live = excluded.is_live,
        is_current = excluded.is_current, tag_ids = excluded.tag_ids;
END $$
"""
_FUNCTIONS = {
    "follow_new_traces": "refresh_trace_signs(ARRAY(SELECT id FROM changed))",
    "follow_trace": "refresh_trace_signs(ARRAY[NEW.id])",
    "follow_tags": "refresh_trace_signs(ARRAY(SELECT DISTINCT trace_id FROM changed))",
}
_FILTERED = ("status", "contributor_id", "agent_model", "created_at", "deleted_at", "superseded_by_id")
_OLD, _NEW = (", ".join(f"{row}.{name}" for name in _FILTERED) for row in ("OLD", "NEW"))
_TRIGGERS = (
    "signs_of_new AFTER INSERT ON traces REFERENCING NEW TABLE AS changed"
    " FOR EACH STATEMENT EXECUTE FUNCTION follow_new_traces()",
    # A separate trigger: re-encoding replaces the column, and the trigger with it.
    "signs_of_embedding AFTER UPDATE OF embedding ON traces FOR EACH ROW EXECUTE FUNCTION follow_trace()",
    # Columns that votes do not change.
    "signs_of_filtered AFTER UPDATE ON traces FOR EACH ROW"
    f" WHEN (({_OLD}) IS DISTINCT FROM ({_NEW})) EXECUTE FUNCTION follow_trace()",
    "signs_of_added AFTER INSERT ON trace_tags REFERENCING NEW TABLE AS changed"
    " FOR EACH STATEMENT EXECUTE FUNCTION follow_tags()",
    "signs_of_changed AFTER UPDATE ON trace_tags REFERENCING NEW TABLE AS changed"
    " FOR EACH STATEMENT EXECUTE FUNCTION follow_tags()",
    "signs_of_removed AFTER DELETE ON trace_tags REFERENCING OLD TABLE AS changed"
    " FOR EACH STATEMENT EXECUTE FUNCTION follow_tags()",
)


def upgrade() -> None:
    """Creates the table with a row for every trace, and the triggers that maintain it."""
    op.create_table(
        "trace_signs",
        sa.Column("trace_id", sa.Uuid(), nullable=False),
        sa.Column("signs", postgresql.BIT(varying=True)),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("contributor_id", sa.Uuid(), nullable=False),
        sa.Column("agent_model", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_live", sa.Boolean(), nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("tag_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", name="pk_trace_signs"),
        sa.ForeignKeyConstraint(["trace_id"], ["traces.id"], name="fk_trace_signs_trace_id_traces", ondelete="CASCADE"),
    )
    # PLAIN: random bits do not compress, and every scan reads them.
    op.execute("ALTER TABLE trace_signs ALTER COLUMN signs SET STORAGE PLAIN")
    op.execute(_REFRESH)
    op.execute("SELECT refresh_trace_signs(ARRAY(SELECT id FROM traces))")
    for column in ("status", "contributor_id", "agent_model", "created_at"):
        op.create_index(f"ix_trace_signs_{column}", "trace_signs", [column])
    # Without fastupdate: every search would read the pending list.
    op.create_index(
        "ix_trace_signs_tag_ids",
        "trace_signs",
        ["tag_ids"],
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
    )
    for name, action in _FUNCTIONS.items():
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN PERFORM {action}; RETURN NULL; END $$"
        )
    for trigger in _TRIGGERS:
        op.execute(f"CREATE TRIGGER {trigger}")


def downgrade() -> None:
    """Drops the table and its triggers."""
    for trigger in _TRIGGERS:
        name, table = trigger.split(" ", 1)[0], trigger.split(" ON ", 1)[1].split(" ", 1)[0]
        op.execute(f"DROP TRIGGER {name} ON {table}")
    for name in _FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}()")
    op.execute("DROP FUNCTION refresh_trace_signs(uuid[])")
    op.drop_table("trace_signs")

"""Creates namespaces and members; traces, events, imports, keys and answers get their namespaces."""

import sqlalchemy as sa
from alembic import op

from commontrace.storage.namespaces.enabling import ACCESSORS, CREATE_HIDING, DROP_HIDING, is_enabled_sql

revision = "0022_create_namespaces"
down_revision = "0021_create_trace_tokens"

_COMMONS_ID = "c0000000-0000-4000-8000-000000000001"
# A constant default: every row that exists is in `commons` without being written, and so is every row that a server
# adds which knows no other namespace.
_IN_COMMONS = f"uuid NOT NULL DEFAULT '{_COMMONS_ID}'"
_COLUMNS = {
    "traces": (
        f"namespace_id {_IN_COMMONS}",
        "promoted_from_id uuid",
        "prior_contributor_ids uuid[] NOT NULL DEFAULT '{}'",
    ),
    "trace_signs": (f"namespace_id {_IN_COMMONS}",),
    "trace_events": (f"namespace_id {_IN_COMMONS}",),
    "import_items": (f"namespace_id {_IN_COMMONS}",),
    "idempotent_requests": (f"namespace_ids uuid[] NOT NULL DEFAULT '{{{_COMMONS_ID}}}'",),
    "api_keys": ("namespaces varchar[]",),
}
_FOREIGN_KEYS = {
    "fk_traces_namespace_id_namespaces": "(namespace_id) REFERENCES namespaces (id)",
    "fk_traces_promoted_from_id_traces": "(promoted_from_id) REFERENCES traces (id)",
}
_INDEXES = {
    "ix_trace_signs_namespace_id": "trace_signs (namespace_id)",
    "ix_traces_promoted_from_id": "traces (promoted_from_id) WHERE promoted_from_id IS NOT NULL",
}
_REFRESH = """
CREATE OR REPLACE FUNCTION refresh_trace_signs(changed uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM trace_signs WHERE trace_id = ANY (changed) ORDER BY trace_id FOR UPDATE;
    INSERT INTO trace_signs
        (trace_id, signs, status, contributor_id, agent_model, created_at, is_live, is_current, tag_ids{more})
    SELECT id, binary_quantize(embedding), status, contributor_id, agent_model, created_at,
        deleted_at IS NULL, superseded_by_id IS NULL,
        ARRAY(SELECT tag_id FROM trace_tags WHERE trace_tags.trace_id = traces.id ORDER BY tag_id){more}
    FROM traces WHERE id = ANY (changed) ORDER BY id
    ON CONFLICT (trace_id) DO UPDATE SET
        signs = excluded.signs, status = excluded.status, contributor_id = excluded.contributor_id,
        agent_model = excluded.agent_model, created_at = excluded.created_at, is_live = excluded.is_live,
        is_current = excluded.is_current, tag_ids = excluded.tag_ids;
END $$
"""


def upgrade() -> None:
    """Adds tables, columns, functions and indexes while servers of the version before serve the database.

    Each statement is a transaction of its own, so that none holds a lock on one table while it waits for another. After
    a failure all are run again.
    """
    if _is_empty():
        _create(concurrently="")
        return
    with op.get_context().autocommit_block():
        _create(concurrently="CONCURRENTLY")


def _create(*, concurrently: str) -> None:
    if concurrently:
        # An attempt before may have set it, see below.
        op.execute("RESET lock_timeout")
    _create_tables()
    for table, columns in _COLUMNS.items():
        op.execute(f"ALTER TABLE {table} {', '.join(f'ADD COLUMN IF NOT EXISTS {column}' for column in columns)}")
    op.execute("ALTER TABLE votes ALTER COLUMN created_at SET DEFAULT statement_timestamp()")
    op.execute(_REFRESH.format(more=", namespace_id"))
    for accessor in ACCESSORS:
        op.execute(accessor.create)
    for statement in CREATE_HIDING:
        op.execute(statement)
    for name, definition in _FOREIGN_KEYS.items():
        op.execute(f"ALTER TABLE traces DROP CONSTRAINT IF EXISTS {name}")
        op.execute(f"ALTER TABLE traces ADD CONSTRAINT {name} FOREIGN KEY {definition} NOT VALID")
    if concurrently:
        # What follows holds nobody up, and may wait for others.
        op.execute("SET lock_timeout = '60s'")
    for name in _FOREIGN_KEYS:
        op.execute(f"ALTER TABLE traces VALIDATE CONSTRAINT {name}")
    for name, definition in _INDEXES.items():
        op.execute(f"DROP INDEX {concurrently} IF EXISTS {name}")
        op.execute(f"CREATE INDEX {concurrently} {name} ON {definition}")
    if concurrently:
        op.execute("RESET lock_timeout")


def downgrade() -> None:
    """Drops the namespaces. Refused while traces are in others than `commons`: everybody would read them."""
    op.execute("LOCK TABLE traces IN ACCESS EXCLUSIVE MODE")
    op.execute(
        "DO $$ BEGIN IF EXISTS (SELECT FROM traces JOIN namespaces ON namespaces.id = namespace_id"
        " WHERE name <> 'commons') THEN RAISE EXCEPTION"
        " 'traces are in other namespaces than commons, and everybody would read them: purge them first';"
        " ELSIF EXISTS (SELECT FROM namespaces WHERE name = 'commons' AND visibility <> 'open')"
        " OR EXISTS (SELECT FROM api_keys WHERE namespaces IS NOT NULL AND revoked_at IS NULL) THEN RAISE EXCEPTION"
        " 'commons is not open, or keys are bound to namespaces, and everybody would read it:"
        " open it and revoke them first';"
        " END IF; END $$"
    )
    if op.get_bind().execute(sa.text(f"SELECT {is_enabled_sql()}")).scalar_one():
        for accessor in ACCESSORS:
            op.execute(accessor.rename_back)
    else:
        for accessor in ACCESSORS:
            op.execute(accessor.drop)
    for statement in DROP_HIDING:
        op.execute(statement)
    op.execute(_REFRESH.format(more=""))
    op.execute("ALTER TABLE votes ALTER COLUMN created_at SET DEFAULT now()")
    for table, columns in _COLUMNS.items():
        op.execute(f"ALTER TABLE {table} {', '.join(f'DROP COLUMN {column.split()[0]}' for column in columns)}")
    op.drop_table("namespace_members")
    op.drop_table("retired_namespaces")
    op.drop_table("namespaces")


def _create_tables() -> None:
    now = sa.text("now()")
    op.create_table(
        "namespaces",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), server_default="", nullable=False),
        sa.Column("visibility", sa.String(), nullable=False),
        sa.Column("edit_number", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_namespaces"),
        sa.UniqueConstraint("name", name="uq_namespaces_name"),
        sa.CheckConstraint("visibility IN ('private', 'readable', 'open')", name=op.f("ck_namespaces_visibility")),
        if_not_exists=True,
    )
    op.create_table(
        "retired_namespaces",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_retired_namespaces"),
        if_not_exists=True,
    )
    op.create_table(
        "namespace_members",
        sa.Column("namespace_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("namespace_id", "user_id", name="pk_namespace_members"),
        sa.ForeignKeyConstraint(
            ["namespace_id"],
            ["namespaces.id"],
            name="fk_namespace_members_namespace_id_namespaces",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_namespace_members_user_id_users"),
        sa.CheckConstraint(
            "role IN ('reader', 'writer', 'moderator', 'owner')", name=op.f("ck_namespace_members_role")
        ),
        if_not_exists=True,
    )
    op.create_index("ix_namespace_members_user_id", "namespace_members", ["user_id"], if_not_exists=True)
    commons = f"('{_COMMONS_ID}', 'commons', 'open')"
    op.execute(f"INSERT INTO namespaces (id, name, visibility) VALUES {commons} ON CONFLICT DO NOTHING")  # noqa: S608 - our own names


def _is_empty() -> bool:
    return not op.get_bind().execute(sa.text("SELECT EXISTS (SELECT FROM traces)")).scalar_one()

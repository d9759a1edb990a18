"""Moves the vector index to halves of the vectors, 16 bits for each component: half the size (ADR 0062)."""

import sqlalchemy as sa
from alembic import op

revision = "0023_index_halves"
down_revision = "0022_create_namespaces"

_NAME = "ix_traces_embedding_hnsw"
_NEW, _OLD = f"{_NAME}_new", f"{_NAME}_old"
_OPTIONS = "WITH (m = 16, ef_construction = 64)"

# The build holds nobody up, and may wait for others. It ends when its client does. One process leaves the other cores
# to the servers, and needs no shared memory, of which containers have little; beyond `maintenance_work_mem` it would
# take ten times as long, and it takes no more than the graph needs.
_BUILD_SETTINGS = {
    "lock_timeout": "'10min'",
    "client_connection_check_interval": "'1s'",
    "max_parallel_maintenance_workers": "'0'",
    "maintenance_work_mem": "greatest(pg_size_bytes(current_setting('maintenance_work_mem')),"
    " pg_size_bytes(current_setting('shared_buffers'))) / 1024 || 'kB'",
}


def upgrade() -> None:
    """Builds the index beside the other one, then swaps their names. Older servers compare all traces from then on."""
    dimensions = _scalar(
        "SELECT atttypmod FROM pg_attribute WHERE attrelid = 'traces'::regclass AND attname = 'embedding'"
    )
    _replace_index(f"(embedding::halfvec({dimensions}))", "halfvec_cosine_ops")


def downgrade() -> None:
    """Builds the index over the full vectors again."""
    _replace_index("embedding", "vector_cosine_ops")


def _replace_index(held: str, operator_class: str) -> None:
    definition = f"ON traces USING hnsw ({held} {operator_class}) {_OPTIONS}"
    if not _scalar("SELECT EXISTS (SELECT FROM traces)"):
        op.execute(f"DROP INDEX IF EXISTS {_NAME}")
        op.execute(f"CREATE INDEX {_NAME} {definition}")
        return
    with op.get_context().autocommit_block():
        for name, value in _BUILD_SETTINGS.items():
            op.execute(f"SELECT set_config('{name}', {value}, false)")
        # After a failure, what was done stays: the longest step is not done twice.
        if not _is_built(_NAME, held):
            if not _is_built(_NEW, held):
                op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_NEW}")
                op.execute(f"CREATE INDEX CONCURRENTLY {_NEW} {definition}")
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_OLD}")
            # Neither waits for calls, nor do calls wait for it: the lock excludes vacuum and index builds alone.
            op.execute(
                f"DO $$ BEGIN ALTER INDEX IF EXISTS {_NAME} RENAME TO {_OLD};"
                f" ALTER INDEX {_NEW} RENAME TO {_NAME}; END $$"
            )
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_NEW}")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_OLD}")
        for name in _BUILD_SETTINGS:
            op.execute(f"RESET {name}")


def _is_built(name: str, held: str) -> bool:
    return bool(
        _scalar(
            "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(:name) AND indisvalid"
            " AND pg_get_indexdef(indexrelid, 1, true) = :held)",
            name=name,
            held=held,
        )
    )


def _scalar(sql: str, **parameters: str) -> object:
    return op.get_bind().execute(sa.text(sql), parameters).scalar_one()

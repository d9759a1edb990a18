"""Facts about a Postgres: version, extension, settings, and privileges of the user. Works at any revision."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.domain.doctor.postgres import DURABILITY, PostgresFacts, WritingFacts
from commontrace.storage.models import Base

_DATABASE = """
    SELECT split_part(current_setting('server_version'), ' ', 1) AS version,
        current_setting('server_version_num')::int / 10000 AS major,
        current_setting('server_encoding') AS encoding,
        quote_ident(current_user) AS user,
        quote_ident(current_database()) AS database,
        current_setting('search_path') AS search_path"""

_PGVECTOR = """
    SELECT (SELECT default_version FROM pg_available_extensions WHERE name = 'vector') AS pgvector_available,
        extension.extversion AS pgvector,
        quote_ident(extension.nspname) AS pgvector_schema,
        COALESCE(extension.is_visible, false) AS pgvector_is_visible
    FROM (VALUES (true)) AS always LEFT JOIN (
        SELECT extversion, nspname, to_regtype('vector') IS NOT DISTINCT FROM pg_type.oid AS is_visible
        FROM pg_extension
        JOIN pg_namespace ON pg_namespace.oid = extnamespace
        LEFT JOIN pg_type ON typnamespace = extnamespace AND typname = 'vector'
        WHERE extname = 'vector'
    ) AS extension ON true"""

_SCHEMA = """
    SELECT quote_ident(nspname) AS schema,
        has_schema_privilege(pg_namespace.oid, 'CREATE') AS may_create_tables,
        ARRAY(
            SELECT relname::text FROM pg_class WHERE relnamespace = pg_namespace.oid AND relname = ANY(:ours) ORDER BY 1
        ) AS taken
    FROM pg_namespace WHERE nspname = current_schema()"""

_SETTINGS = """
    SELECT name, setting, CASE source
        WHEN 'database' THEN format('ALTER DATABASE %I RESET %I', current_database(), name)
        WHEN 'user' THEN format('ALTER ROLE %I RESET %I', current_user, name)
        WHEN 'database user' THEN
            format('ALTER ROLE %I IN DATABASE %I RESET %I', current_user, current_database(), name)
        WHEN 'global' THEN format('ALTER ROLE ALL RESET %I', name)
        ELSE format('ALTER SYSTEM SET %I = %s; SELECT pg_reload_conf()', name, CAST(:wanted AS text)) END AS remedy
    FROM pg_settings WHERE name = ANY(:names)"""


async def find_facts(connection: AsyncConnection) -> PostgresFacts:
    """Returns the facts. Raises the driver's errors."""
    [database] = await connection.execute(text(_DATABASE))
    [pgvector] = await connection.execute(text(_PGVECTOR))
    schema = (await connection.execute(text(_SCHEMA), {"ours": list(Base.metadata.tables)})).one_or_none()
    settings = (await connection.execute(text(_SETTINGS), {"names": list(DURABILITY), "wanted": "on"})).all()
    return PostgresFacts(
        **database._mapping,
        **pgvector._mapping,
        schema=schema.schema if schema else None,
        may_create_tables=bool(schema and schema.may_create_tables),
        taken=schema.taken if schema else (),
        durability={row.name: row.setting for row in settings},
        remedies={row.name: row.remedy for row in settings},
    )


async def find_writing_facts(connection: AsyncConnection) -> WritingFacts:
    """Returns whether new connections can write; needs one without changed settings. Raises the driver's errors."""
    is_standby = bool((await connection.execute(text("SELECT pg_is_in_recovery()"))).scalar())
    parameters = {"names": ["default_transaction_read_only"], "wanted": "off"}
    [default] = await connection.execute(text(_SETTINGS), parameters)
    return WritingFacts(is_standby=is_standby, is_off_by_default=default.setting == "on", remedy=default.remedy)

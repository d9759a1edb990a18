"""All that a database holds, as one text."""

import asyncpg

_STATISTICS = """
    SELECT most_common_vals::text, histogram_bounds::text, most_common_elems::text
    FROM pg_stats WHERE schemaname = 'public'"""


async def everything_stored(url: str) -> str:
    """Every value of every row of every table, in small letters; bytes as the text that they may be."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = [row for [name] in tables for row in await connection.fetch(f'SELECT * FROM "{name}"')]  # noqa: S608
    finally:
        await connection.close()
    return _text(rows)


async def every_statistic(url: str) -> str:
    """What the planner knows of the values of every column, in small letters."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return _text(await connection.fetch(_STATISTICS))
    finally:
        await connection.close()


def _text(rows: list[asyncpg.Record]) -> str:
    assert rows, "nothing was looked at"
    values = (value for row in rows for value in row.values())
    return "\n".join(v.decode("latin-1") if isinstance(v, bytes) else str(v) for v in values).lower()

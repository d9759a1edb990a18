"""Stores traces without a server: asyncpg's binary COPY into `traces` alone, one for each connection."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import asyncpg
import uvloop

from bench import import_orders
from bench.import_orders import Given
from commontrace.storage import vector_type

COLUMNS = ("id", "title", "context_text", "solution_text", "contributor_id")
VECTOR_COLUMNS = ("embedding", "embedding_model_id", "embedding_model_version")


async def main(task: import_orders.ImportTask) -> None:
    """Carries out orders; connections are open before the clock starts."""
    idle: list[asyncpg.Connection] = []
    for _ in range(4):
        connection = await asyncpg.connect(task.dsn)
        await vector_type.register(connection)
        idle.append(connection)
    contributor_id = UUID(task.contributor_id)

    def prepare(given: Sequence[Given]) -> Callable[[], Awaitable[None]]:
        model = (task.model_id, task.model_version)
        with_vectors = given[0].vector is not None
        rows = [
            (one.id, one.title, one.context, one.solution, contributor_id)
            + ((one.vector, *model) if with_vectors else ())
            for one in given
        ]

        async def store() -> None:
            connection = idle.pop()
            columns = COLUMNS + (VECTOR_COLUMNS if with_vectors else ())
            await connection.copy_records_to_table("traces", columns=columns, records=rows)
            idle.append(connection)

        return store

    await import_orders.obey(task, prepare)


if __name__ == "__main__":
    uvloop.run(main(import_orders.import_task()))

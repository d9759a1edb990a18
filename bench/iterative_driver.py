"""Filtered searches by the vector index and its iterative scan alone, by asyncpg, in a process of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import numpy as np
import uvloop
from asyncpg.prepared_stmt import PreparedStatement

from bench import orders, raw_driver
from bench.narrowing import AGENT_MODEL, Narrowing
from bench.parameters import CONNECTIONS
from commontrace.storage import engines, vector_type

ORDER = "iterative"
NARROWING = Narrowing(field=AGENT_MODEL, part="uncommon")
"""What is searched: 5 % of all."""


async def main(task: orders.Task) -> None:
    """Carries out orders to search; an answer may be short, which is counted elsewhere."""
    queries = list(np.load(task.vectors)["embedding"])
    async with connections(task) as idle:
        gate = asyncio.Semaphore(len(idle))

        async def ask(number: int) -> None:
            async with gate:
                prepared = idle.pop()
                try:
                    await prepared.fetch(queries[number % len(queries)], task.model_id, NARROWING.part)
                finally:
                    idle.append(prepared)

        await orders.obey({ORDER: ask})


@asynccontextmanager
async def connections(task: orders.Task) -> AsyncIterator[list[PreparedStatement]]:
    """Yields the prepared statement of each connection: vector, model, agent model."""
    settings = {
        **engines.SESSION_SETTINGS,
        "enable_seqscan": "off",
        "enable_bitmapscan": "off",
        "enable_sort": "off",
        "hnsw.iterative_scan": "strict_order",
        "hnsw.ef_search": str(task.ef_search),
        "plan_cache_mode": "force_generic_plan",
    }
    idle: list[PreparedStatement] = []
    async with AsyncExitStack() as opened:
        for _ in range(CONNECTIONS):
            connection = await asyncpg.connect(task.dsn, server_settings=settings)
            opened.push_async_callback(connection.close)
            await vector_type.register(connection)
            nearest = await raw_driver.nearest_sql(
                connection, raw_driver.COLUMNS, "embedding_model_id = $2 AND agent_model = $3", ef_search=task.ef_search
            )
            idle.append(await connection.prepare(nearest))
        yield idle


if __name__ == "__main__":
    uvloop.run(main(orders.task()))

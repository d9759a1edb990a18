"""Creates and votes, alone and while others search, and what searches take meanwhile."""

from collections.abc import Sequence

from bench import grpc_driver, write_driver
from bench.measuring import Measured, Measuring, Search
from bench.orders import Task
from bench.parameters import WRITERS
from bench.processes import Driver, driving


async def measure(measuring: Measuring, task: Task, through_grpc: Driver) -> Sequence[Measured]:
    """Measures searches alone, then each kind of write alone and beside searches. Raises RunFailed."""
    alone = Search(name="search, alone", driver=through_grpc, order=grpc_driver.EMBEDDING)
    rows = await measuring.in_turn([alone], callers=WRITERS, rounds=1)
    async with driving(task, "bench.write_driver") as [writer]:
        for write in (write_driver.CREATE, write_driver.VOTE):
            writes = Search(name=f"{write}, alone", driver=writer, order=write)
            rows += await measuring.in_turn([writes], callers=WRITERS, rounds=1)
            rows += await measuring.at_once(
                [
                    Search(name=f"{write}, while others search", driver=writer, order=write),
                    Search(name=f"search, while others {write}", driver=through_grpc, order=grpc_driver.EMBEDDING),
                ],
                callers=WRITERS,
            )
    return rows

"""Creates and votes beside raw asyncpg's, and beside searches: what both take meanwhile."""

from collections.abc import Sequence

from bench import grpc_driver, writes
from bench.measuring import Measured, Measuring, Search
from bench.orders import Task
from bench.parameters import MANY_WRITERS, WRITERS
from bench.processes import Driver, driving

WRITES = (writes.CREATE, writes.VOTE)


async def measure(measuring: Measuring, task: Task, through_grpc: Driver, *, rounds: int) -> Sequence[Measured]:
    """Measures each kind of write in turn with raw asyncpg's, then alone and beside searches. Raises RunFailed."""
    alone = Search(name="search, alone", driver=through_grpc, order=grpc_driver.EMBEDDING)
    rows = await measuring.in_turn([alone], callers=WRITERS, rounds=1)
    async with driving(task, "bench.write_driver", "bench.raw_write_driver") as (writer, raw):
        for write in WRITES:
            sides = [
                Search(name=raw_name(write), driver=raw, order=write),
                Search(name=grpc_name(write), driver=writer, order=write),
            ]
            rows += await measuring.in_turn(sides, callers=MANY_WRITERS, rounds=rounds)
            writes_alone = Search(name=f"{write}, alone", driver=writer, order=write)
            rows += await measuring.in_turn([writes_alone], callers=WRITERS, rounds=1)
            rows += await measuring.at_once(
                [
                    Search(name=f"{write}, while others search", driver=writer, order=write),
                    Search(name=f"search, while others {write}", driver=through_grpc, order=grpc_driver.EMBEDDING),
                ],
                callers=WRITERS,
            )
    return rows


def raw_name(write: str) -> str:
    """Returns the name of the row of raw asyncpg's writes of a kind."""
    return f"raw asyncpg, {write}"


def grpc_name(write: str) -> str:
    """Returns the name of the row that is compared with it."""
    return f"gRPC, {write}"

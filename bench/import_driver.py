"""Stores traces through gRPC: the Python client, one import for each stream, over one channel."""

from collections.abc import Awaitable, Callable, Sequence

import uvloop

from bench import import_orders
from bench.closed_loop import WrongAnswer
from bench.import_orders import Given
from commontrace.client import connect, vector
from commontrace.v1.trace_record_pb2 import TraceRecord


async def main(task: import_orders.ImportTask) -> None:
    """Carries out orders; every result is looked at."""
    async with connect(task.address, user="bench@example.org", deadline=600) as client:

        def prepare(given: Sequence[Given]) -> Callable[[], Awaitable[None]]:
            records = [
                TraceRecord(
                    id=str(one.id),
                    title=one.title,
                    context=one.context,
                    solution=one.solution,
                    tags=one.tags,
                    embedding=None if one.vector is None else vector(one.vector, model_id=task.model_id),
                )
                for one in given
            ]

            async def store() -> None:
                created = [result.created_trace_id async for result in client.import_traces(records)]
                if created != [record.id for record in records]:
                    raise WrongAnswer("a trace was not stored as it was sent")

            return store

        await client.service_info()
        await import_orders.obey(task, prepare)


if __name__ == "__main__":
    uvloop.run(main(import_orders.import_task()))

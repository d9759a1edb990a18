"""Upper bound of a server whose answers are ready: the limit of gRPC, driver included."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import grpc.aio
import numpy as np

from bench import grpc_driver
from bench.failures import RunFailed
from bench.measuring import Measured, Measuring, Search
from bench.orders import Task
from bench.parameters import LIMIT, Parameters
from bench.processes import answering, driving
from commontrace.client import vector
from commontrace.v1.trace_service_pb2 import SearchTracesRequest

_DEADLINE = 30.0


async def measure(parameters: Parameters, task: Task, place: Path, *, postgres_pid: int) -> Sequence[Measured]:
    """Takes one answer of the server, lets a trivial one send it, and asks that instead. Raises RunFailed."""
    answer = place / "answer"
    answer.write_bytes(await _answer(task))
    async with answering("bench.floor_server", str(answer), log=place / "floor.log") as floor:
        measuring = Measuring(parameters, server_pid=floor.pid, postgres_pid=postgres_pid)
        async with driving(replace(task, address=floor.address, texts=0), "bench.grpc_driver") as [driver]:
            search = Search(name="gRPC, answers at hand", driver=driver, order=grpc_driver.EMBEDDING)
            numbers = parameters.numbers_of_callers
            rows = [await measuring.in_turn([search], callers=callers, rounds=1) for callers in numbers]
    return [row for [row] in rows]


async def _answer(task: Task) -> bytes:
    query = vector(np.load(task.vectors)["embedding"][0], model_id=task.model_id)
    request = SearchTracesRequest(embedding=query, limit=LIMIT)
    async with grpc.aio.insecure_channel(task.address) as channel:
        send: grpc.aio.UnaryStreamMultiCallable[SearchTracesRequest, bytes] = channel.unary_stream(
            grpc_driver.METHOD, request_serializer=SearchTracesRequest.SerializeToString
        )
        messages: list[bytes] = [message async for message in send(request, timeout=_DEADLINE)]
    if len(messages) != 1:
        raise RunFailed(f"a search was answered in {len(messages)} messages")
    return messages[0]

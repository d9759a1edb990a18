"""Creates traces and votes through gRPC over one channel, in a process of its own."""

import asyncpg
import grpc.aio
import uvloop

from bench import corpus, orders, writes
from bench.closed_loop import Ask, WrongAnswer
from commontrace import USER_METADATA
from commontrace.v1.trace_service_pb2 import CreateTraceRequest
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from commontrace.v1.vote_pb2 import VOTE_TYPE_UP
from commontrace.v1.vote_service_pb2 import CastVoteRequest
from commontrace.v1.vote_service_pb2_grpc import VoteServiceStub

_DEADLINE = 30.0


async def main(task: orders.Task) -> None:
    """Carries out orders to create new traces, and to vote for those there are, as one user after the other."""
    connection = await asyncpg.connect(task.dsn)
    ids, texts = await writes.voted_traces(connection), corpus.texts(writes.DIFFERENT_TEXTS)
    await connection.close()
    async with grpc.aio.insecure_channel(task.address) as channel:
        traces, votes = TraceServiceStub(channel), VoteServiceStub(channel)

        async def create(number: int) -> None:
            request = CreateTraceRequest(**writes.trace(number, texts)._asdict())
            response = await traces.CreateTrace(request, timeout=_DEADLINE)
            if response.created.title != request.title:
                raise WrongAnswer("a trace was not created")

        async def vote(number: int) -> None:
            user, trace_id = number // len(ids), ids[number % len(ids)]
            response = await votes.CastVote(
                CastVoteRequest(trace_id=trace_id, type=VOTE_TYPE_UP),
                timeout=_DEADLINE,
                metadata=((USER_METADATA, f"voter-{user}@example.org"),),
            )
            if response.vote.type != VOTE_TYPE_UP:
                raise WrongAnswer("a vote was not cast")

        asks: dict[str, Ask] = {writes.CREATE: create, writes.VOTE: vote}
        await orders.obey(asks)


if __name__ == "__main__":
    uvloop.run(main(orders.task()))

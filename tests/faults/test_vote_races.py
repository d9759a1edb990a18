"""Fifty voters at once on a server that is killed again and again: every tally is what the votes say."""

import asyncio
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc

from commontrace.core.trust import Tally, trust_score
from commontrace.storage import embedded
from commontrace.v1 import vote_pb2
from commontrace.v1 import vote_service_pb2 as pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from commontrace.v1.vote_service_pb2_grpc import VoteServiceStub
from tests.builders import a_contribution, copies_of
from tests.conftest import administer, query
from tests.faults.server_process import ServerProcess, run_command

SETTINGS = {"EMBEDDER": "lexical", "DATABASE_POOL_SIZE": "20"}
VOTERS = 50
TRACES = 201
SEEDS = 12
KILLS = 4
ACKNOWLEDGED_BEFORE_A_KILL = 150
RETRIED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
RETRACTED = vote_pb2.VOTE_TYPE_UNSPECIFIED

STORED = """
    SELECT traces.id, status, confirmation_count, traces.down_count, trust_score, is_seed,
        count(*) FILTER (WHERE vote_type = 'up') AS ups, count(*) FILTER (WHERE vote_type = 'down') AS downs
    FROM traces LEFT JOIN votes ON trace_id = traces.id AND votes.revision = traces.revision GROUP BY traces.id"""


@dataclass(kw_only=True)
class Voting:
    """What all voters have in common."""

    chance: random.Random
    trace_ids: list[str] = field(default_factory=list)
    acknowledged: int = 0
    in_flight: int = 0
    retried: int = 0


@dataclass(kw_only=True)
class Voter:
    """Changes its mind at random, one call after the other. A call that fails is repeated until it is answered."""

    number: int
    voting: Voting
    unanswered: pb.CastVoteRequest | pb.RetractVoteRequest | None = None
    acknowledged: dict[str, vote_pb2.VoteType.ValueType] = field(default_factory=dict)
    """By trace; what was retracted, or refused because there was nothing to retract, is RETRACTED."""

    @property
    def metadata(self) -> tuple[tuple[str, str]]:
        return (("x-commontrace-user", f"voter-{self.number}@example.org"),)

    async def vote(self, votes: VoteServiceStub, trace_ids: list[str], enough: asyncio.Event) -> None:
        """Votes until there are enough; after the server's end, whatever is unanswered stays so."""
        while not enough.is_set():
            if self.unanswered is None:
                self.unanswered = self._change_of_mind(self.voting.chance.choice(trace_ids))
            await self.settle(votes)

    async def settle(self, votes: VoteServiceStub) -> None:
        """Sends what is unanswered, once."""
        request = self.unanswered
        if request is None:
            return
        self.voting.in_flight += 1
        try:
            said = await self._send(request, votes)
        except grpc.aio.AioRpcError as error:
            if error.code() not in RETRIED:
                raise
            self.voting.retried += 1
            await asyncio.sleep(0.02)
            return
        finally:
            self.voting.in_flight -= 1
        self.unanswered = None
        self.acknowledged[request.trace_id] = said
        self.voting.acknowledged += 1

    async def last_words(self, trace_id: str, votes: VoteServiceStub) -> vote_pb2.VoteType.ValueType:
        """What the server says that the voter said."""
        try:
            request = pb.GetVoteRequest(trace_id=trace_id)
            return (await votes.GetVote(request, metadata=self.metadata, timeout=10)).vote.type
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return RETRACTED

    async def _send(
        self, request: pb.CastVoteRequest | pb.RetractVoteRequest, votes: VoteServiceStub
    ) -> vote_pb2.VoteType.ValueType:
        if isinstance(request, pb.CastVoteRequest):
            vote = (await votes.CastVote(request, metadata=self.metadata, timeout=10)).vote
            assert (vote.type, vote.reason) == (request.type, request.reason)
            return request.type
        has_vote = self._has_vote_on(request.trace_id)
        try:
            await votes.RetractVote(request, metadata=self.metadata, timeout=10)
            assert has_vote
        except grpc.aio.AioRpcError as error:
            if has_vote or error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
        return RETRACTED

    def _has_vote_on(self, trace_id: str) -> bool:
        return self.acknowledged.get(trace_id, RETRACTED) != RETRACTED

    def _change_of_mind(self, trace_id: str) -> pb.CastVoteRequest | pb.RetractVoteRequest:
        chance = self.voting.chance
        request_id = str(UUID(int=chance.getrandbits(128)))
        match chance.choice(("up", "up", "down", "retract")):
            case "up":
                return pb.CastVoteRequest(trace_id=trace_id, type=vote_pb2.VOTE_TYPE_UP, request_id=request_id)
            case "down":
                reason: vote_pb2.DownReason.ValueType = chance.choice(vote_pb2.DownReason.values()[1:])
                return pb.CastVoteRequest(
                    trace_id=trace_id, type=vote_pb2.VOTE_TYPE_DOWN, reason=reason, request_id=request_id
                )
            case _:
                return pb.RetractVoteRequest(trace_id=trace_id, request_id=request_id)


async def contribute_all(server: ServerProcess) -> list[str]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        first = (await TraceServiceStub(channel).CreateTrace(a_contribution())).created.id
    await administer(database_of(server), copies_of(first, TRACES))
    return [str(row.id) for row in await stored_tallies(server) if not row.is_seed]


async def vote_until_killed(server: ServerProcess, voters: list[Voter], trace_ids: list[str]) -> int:
    """Returns how many votes were in flight at that moment."""
    voting, enough = voters[0].voting, asyncio.Event()
    target = voting.acknowledged + ACKNOWLEDGED_BEFORE_A_KILL
    async with grpc.aio.insecure_channel(server.address) as channel:
        votes = VoteServiceStub(channel)
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            for voter in voters:
                tasks.create_task(voter.vote(votes, trace_ids, enough))
            while voting.acknowledged < target:  # noqa: ASYNC110 - fifty tasks count
                await asyncio.sleep(0.001)
            await asyncio.sleep(voting.chance.uniform(0, 0.03))
            in_flight = voting.in_flight
            enough.set()
            server.kill()
    return in_flight


async def settle_all(server: ServerProcess, voters: list[Voter]) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel:
        votes = VoteServiceStub(channel)
        async with asyncio.timeout(20):
            while any(voter.unanswered is not None for voter in voters):
                await asyncio.gather(*(voter.settle(votes) for voter in voters))


async def check_last_words(server: ServerProcess, voters: list[Voter]) -> None:
    """Every voter's vote is the one that was last acknowledged."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        votes = VoteServiceStub(channel)

        async def check(voter: Voter) -> None:
            for trace_id, said in voter.acknowledged.items():
                assert await voter.last_words(trace_id, votes) == said

        for first in range(0, len(voters), 8):
            await asyncio.gather(*map(check, voters[first : first + 8]))


async def stored_tallies(server: ServerProcess) -> list[Any]:
    """Every trace with what is stored of its votes and what they are."""
    return await query(database_of(server), STORED)


def database_of(server: ServerProcess) -> str:
    """For connections beside the server's."""
    url = embedded.attach(server.data_dir)
    assert url is not None
    return url


async def test_fifty_voters_and_kills_leave_every_tally_right(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("VOTES_SEED") or time.time_ns() % 1_000_000)
    record_property("counted", f"VOTES_SEED={seed}")
    voting = Voting(chance=random.Random(seed))  # noqa: S311 - not a secret
    voters = [Voter(number=number, voting=voting) for number in range(VOTERS)]
    in_flight, began = 0, time.monotonic()
    for kill in range(KILLS):
        with ServerProcess(tmp_path, **SETTINGS) as server:
            voting.trace_ids = voting.trace_ids or await contribute_all(server)
            # All on one trace, then each on any of the others.
            trace_ids = voting.trace_ids[1:] if kill % 2 else voting.trace_ids[:1]
            in_flight_now = await vote_until_killed(server, voters, trace_ids)
            assert in_flight_now > 0
            in_flight += in_flight_now

    with ServerProcess(tmp_path, **SETTINGS) as server:
        await settle_all(server, voters)
        await check_last_words(server, voters)
        stored = await stored_tallies(server)
        recounted = await asyncio.to_thread(run_command, tmp_path, "recount", **SETTINGS)

    assert len(stored) == TRACES + SEEDS
    for row in stored:
        assert (row.confirmation_count, row.down_count) == (row.ups, row.downs)
        assert row.trust_score == trust_score(Tally(up_count=row.ups, down_count=row.downs))
        is_validated = row.is_seed or (row.ups >= 2 and row.ups > row.downs)
        assert row.status == ("validated" if is_validated else "pending")
    last_words = [said for voter in voters for said in voter.acknowledged.values() if said != RETRACTED]
    assert sum(row.ups for row in stored) == last_words.count(vote_pb2.VOTE_TYPE_UP)
    assert sum(row.downs for row in stored) == last_words.count(vote_pb2.VOTE_TYPE_DOWN)
    assert (recounted.stdout, recounted.stderr) == (
        f"recounted {TRACES + SEEDS} traces: 0 corrected, 0 promoted, 0 demoted\n",
        "",
    )
    record_property(
        "counted",
        f"{KILLS} kills with {in_flight} votes in flight: {voting.acknowledged} acknowledged, every tally right;"
        f" {voting.retried} retried; {time.monotonic() - began:.0f} s in total ",
    )

"""Voting through a real channel: what votes leave behind, and who may cast them."""

from itertools import pairwise
from typing import Any
from uuid import uuid4

import grpc
import pytest

from commontrace.domain.votes.trust import Tally, trust_score
from commontrace.v1 import trace_pb2, vote_pb2
from commontrace.v1 import trace_service_pb2 as traces_pb
from commontrace.v1 import vote_service_pb2 as pb
from commontrace.v1.vote_pb2 import (
    DOWN_REASON_INCORRECT,
    DOWN_REASON_OUTDATED,
    DOWN_REASON_UNSPECIFIED,
    VOTE_TYPE_DOWN,
    VOTE_TYPE_UP,
)
from tests.conftest import RunningServer, ServerFactory, administer, server_settings
from tests.support.builders import a_contribution

PENDING, VALIDATED = trace_pb2.TRACE_STATUS_PENDING, trace_pb2.TRACE_STATUS_VALIDATED
ABSENT = "123e4567-e89b-12d3-a456-426614174000"


def as_user(name: str | int) -> tuple[tuple[str, str]]:
    return (("x-commontrace-user", f"voter-{name}@example.org"),)


async def a_trace(server: RunningServer, number: int = 0) -> str:
    return (await server.traces.CreateTrace(a_contribution(number), metadata=as_user("owner"))).created.id


async def cast(
    server: RunningServer, voter: str | int, trace_id: str, *, down: bool = False, **fields: Any
) -> pb.CastVoteResponse:
    vote = {"type": VOTE_TYPE_DOWN, "reason": DOWN_REASON_INCORRECT} if down else {"type": VOTE_TYPE_UP}
    request = pb.CastVoteRequest(**({"trace_id": trace_id} | vote | fields))
    return await server.votes.CastVote(request, metadata=as_user(voter))


async def retract(server: RunningServer, voter: str | int, trace_id: str, request_id: str = "") -> vote_pb2.TraceTally:
    request = pb.RetractVoteRequest(trace_id=trace_id, request_id=request_id)
    return (await server.votes.RetractVote(request, metadata=as_user(voter))).tally


async def vote_of(server: RunningServer, voter: str | int, trace_id: str) -> vote_pb2.Vote:
    request = pb.GetVoteRequest(trace_id=trace_id)
    return (await server.votes.GetVote(request, metadata=as_user(voter))).vote


async def trace(server: RunningServer, trace_id: str) -> trace_pb2.Trace:
    return (await server.traces.GetTrace(traces_pb.GetTraceRequest(trace_id=trace_id))).trace


def counts(tally: vote_pb2.TraceTally) -> tuple[int, int, int]:
    return tally.confirmation_count, tally.down_count, tally.status


def check_same(shown: trace_pb2.Trace, tally: vote_pb2.TraceTally) -> None:
    """What readers see is what the voter was told."""
    assert (shown.id, shown.revision) == (tally.trace_id, tally.revision)
    assert (shown.confirmation_count, shown.down_count, shown.status) == counts(tally)
    assert shown.trust_score == tally.trust_score


async def refused(call: Any, reason: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=f"{reason}: "):
        await call


async def test_a_vote_is_stored_and_counted(server: RunningServer) -> None:
    trace_id = await a_trace(server)
    response = await cast(server, 1, trace_id.upper(), comment="It worked\n\N{CAT FACE}", revision=1)
    vote = response.vote
    assert (vote.trace_id, vote.type, vote.reason) == (trace_id, VOTE_TYPE_UP, DOWN_REASON_UNSPECIFIED)
    assert (vote.comment, vote.revision) == ("It worked\n\N{CAT FACE}", 1)
    assert vote.create_time == vote.update_time
    info = await server.traces.GetServiceInfo(traces_pb.GetServiceInfoRequest(), metadata=as_user(1))
    assert vote.voter_id == info.caller.user_id
    assert counts(response.tally) == (1, 0, PENDING)
    assert response.tally.trust_score == trust_score(Tally(up_count=1, down_count=0))
    check_same(await trace(server, trace_id), response.tally)
    assert await vote_of(server, 1, trace_id) == vote


async def test_a_voter_lost_by_a_restore_is_created_again(server: RunningServer, database_url: str) -> None:
    trace_id = await a_trace(server)
    await cast(server, 1, trace_id)
    # As after a restore of a dump from before the first vote.
    await administer(database_url, "DELETE FROM votes")
    await administer(database_url, "DELETE FROM users WHERE email = 'voter-1@example.org'")
    await cast(server, 1, trace_id)
    assert (await vote_of(server, 1, trace_id)).type == VOTE_TYPE_UP


@pytest.mark.parametrize("reason", sorted(set(vote_pb2.DownReason.values()) - {DOWN_REASON_UNSPECIFIED}))
async def test_a_down_vote_says_why(server: RunningServer, reason: vote_pb2.DownReason.ValueType) -> None:
    trace_id = await a_trace(server)
    response = await cast(server, 1, trace_id, down=True, reason=reason)
    assert (response.vote.type, response.vote.reason) == (VOTE_TYPE_DOWN, reason)
    assert counts(response.tally) == (0, 1, PENDING)
    assert response.tally.trust_score == 0
    assert await vote_of(server, 1, trace_id) == response.vote


async def test_voting_again_changes_the_vote(server: RunningServer) -> None:
    trace_id = await a_trace(server)
    first = (await cast(server, 1, trace_id, comment="fine")).vote
    response = await cast(server, 1, trace_id, down=True, reason=DOWN_REASON_OUTDATED, comment="no more")
    second = response.vote
    assert (second.type, second.reason, second.comment) == (VOTE_TYPE_DOWN, DOWN_REASON_OUTDATED, "no more")
    assert (second.voter_id, second.create_time) == (first.voter_id, first.create_time)
    assert second.update_time.ToDatetime() > first.update_time.ToDatetime()
    assert counts(response.tally) == (0, 1, PENDING)
    third = await cast(server, 1, trace_id)
    assert (third.vote.reason, third.vote.comment) == (DOWN_REASON_UNSPECIFIED, "")
    assert counts(third.tally) == (1, 0, PENDING)
    listed = await server.votes.ListVotes(pb.ListVotesRequest(trace_id=trace_id))
    assert list(listed.votes) == [third.vote]


async def test_nobody_votes_on_a_trace_of_their_own(server: RunningServer) -> None:
    trace_id = await a_trace(server)
    for down in (False, True):
        await refused(cast(server, "owner", trace_id, down=down), "OWN_TRACE")
    await refused(vote_of(server, "owner", trace_id), "VOTE_NOT_FOUND")
    assert (await trace(server, trace_id)).down_count == 0


async def test_a_vote_on_an_earlier_revision_is_refused(server: RunningServer, database_url: str) -> None:
    trace_id = await a_trace(server)
    await administer(database_url, "UPDATE traces SET revision = 3")
    for revision in (1, 2, 4, 2**31 - 1):
        with pytest.raises(grpc.aio.AioRpcError, match=r"REVISION_NOT_CURRENT: .* is at revision 3") as refusal:
            await cast(server, 1, trace_id, revision=revision)
        assert refusal.value.code() is grpc.StatusCode.ABORTED
    assert (await cast(server, 1, trace_id, revision=3)).vote.revision == 3
    assert (await cast(server, 1, trace_id, revision=0)).vote.revision == 3


async def test_votes_on_earlier_revisions_do_not_count(server: RunningServer, database_url: str) -> None:
    trace_id = await a_trace(server)
    await cast(server, 1, trace_id)
    await cast(server, 2, trace_id, down=True)
    await administer(
        database_url, "UPDATE traces SET revision = 2, confirmation_count = 0, down_count = 0, trust_score = 0"
    )
    assert counts((await cast(server, 3, trace_id)).tally) == (1, 0, PENDING)
    assert (await vote_of(server, 1, trace_id)).revision == 1
    assert counts(await retract(server, 2, trace_id)) == (1, 0, PENDING)
    moved = await cast(server, 1, trace_id)
    assert moved.vote.revision == 2
    assert counts(moved.tally) == (2, 0, VALIDATED)


@pytest.mark.parametrize("threshold", [1, 2, 3])
async def test_the_threshold_validates_and_a_retraction_takes_it_back(
    start_server: ServerFactory, threshold: int
) -> None:
    async with start_server(settings=server_settings(validation_threshold=threshold)) as server:
        trace_id = await a_trace(server)
        statuses = [(await cast(server, voter, trace_id)).tally.status for voter in range(threshold)]
        assert statuses == [PENDING] * (threshold - 1) + [VALIDATED]
        tally = await retract(server, 0, trace_id)
        assert counts(tally) == (threshold - 1, 0, PENDING)
        check_same(await trace(server, trace_id), tally)


async def test_a_trace_is_validated_while_up_outnumbers_down(server: RunningServer) -> None:
    trace_id = await a_trace(server)
    steps = [(1, False), (2, False), (3, True), (4, True), (5, False), (1, True), (4, False), (3, False)]
    tallies = [(await cast(server, voter, trace_id, down=down)).tally for voter, down in steps]
    assert [counts(tally) for tally in tallies] == [
        (1, 0, PENDING),
        (2, 0, VALIDATED),
        (2, 1, VALIDATED),
        (2, 2, PENDING),
        (3, 2, VALIDATED),
        (2, 3, PENDING),
        (3, 2, VALIDATED),
        (4, 1, VALIDATED),
    ]
    assert all(
        tally.trust_score == trust_score(Tally(up_count=tally.confirmation_count, down_count=tally.down_count))
        for tally in tallies
    )
    check_same(await trace(server, trace_id), tallies[-1])


async def test_seeds_stay_validated(server: RunningServer, database_url: str) -> None:
    trace_id = await a_trace(server)
    await administer(database_url, "UPDATE traces SET is_seed = true, status = 'validated'")
    for voter in range(3):
        assert counts((await cast(server, voter, trace_id, down=True)).tally) == (0, voter + 1, VALIDATED)
    assert counts(await retract(server, 0, trace_id)) == (0, 2, VALIDATED)


async def test_the_update_time_moves_with_the_status_alone(server: RunningServer) -> None:
    trace_id = await a_trace(server)
    times = [(await trace(server, trace_id)).update_time.ToDatetime()]
    etag = (await trace(server, trace_id)).etag
    for voter, down in [(1, False), (2, False), (3, False), (4, True), (5, True), (6, True)]:
        await cast(server, voter, trace_id, down=down)
        times.append((await trace(server, trace_id)).update_time.ToDatetime())
    moved = [later > earlier for earlier, later in pairwise(times)]
    assert moved == [False, True, False, False, False, True]
    assert (await trace(server, trace_id)).etag == etag


async def test_without_a_vote_there_is_nothing_to_read_or_retract(server: RunningServer) -> None:
    trace_id = await a_trace(server)
    other_id = await a_trace(server, 1)
    await refused(vote_of(server, "stranger", trace_id), "VOTE_NOT_FOUND")
    await refused(retract(server, "stranger", trace_id), "VOTE_NOT_FOUND")
    await cast(server, 1, trace_id)
    await refused(vote_of(server, 1, other_id), "VOTE_NOT_FOUND")
    await refused(vote_of(server, 2, trace_id), "VOTE_NOT_FOUND")
    await retract(server, 1, trace_id)
    await refused(vote_of(server, 1, trace_id), "VOTE_NOT_FOUND")
    await refused(retract(server, 1, trace_id), "VOTE_NOT_FOUND")


async def test_a_deleted_trace_takes_no_votes_and_keeps_those_it_has(server: RunningServer, database_url: str) -> None:
    trace_id = await a_trace(server)
    vote = (await cast(server, 1, trace_id)).vote
    await administer(database_url, "UPDATE traces SET deleted_at = now()")
    for call in (
        cast(server, 1, trace_id),
        cast(server, "owner", trace_id),
        retract(server, 1, trace_id),
        vote_of(server, 1, trace_id),
        server.votes.ListVotes(pb.ListVotesRequest(trace_id=trace_id)),
    ):
        await refused(call, "TRACE_NOT_FOUND")
    await administer(database_url, "UPDATE traces SET deleted_at = NULL")
    assert await vote_of(server, 1, trace_id) == vote


async def test_a_request_id_votes_once(server: RunningServer) -> None:
    trace_id, request_id = await a_trace(server), str(uuid4())
    first = await cast(server, 1, trace_id, request_id=request_id)
    await cast(server, 1, trace_id, down=True)
    await cast(server, 2, trace_id)
    assert await cast(server, 1, trace_id, request_id=request_id) == first
    assert (await vote_of(server, 1, trace_id)).type == VOTE_TYPE_DOWN
    shown = await trace(server, trace_id)
    assert (shown.confirmation_count, shown.down_count) == (1, 1)
    await refused(cast(server, 1, trace_id, down=True, request_id=request_id), "REQUEST_ID_REUSED")
    # It belongs to the caller and the method: others are free to use it.
    assert counts((await cast(server, 3, trace_id, request_id=request_id)).tally) == (2, 1, VALIDATED)


async def test_a_request_id_retracts_once(server: RunningServer) -> None:
    trace_id, request_id = await a_trace(server), str(uuid4())
    await cast(server, 1, trace_id, request_id=request_id)
    first = await retract(server, 1, trace_id, request_id)
    await cast(server, 1, trace_id)
    assert await retract(server, 1, trace_id, request_id) == first
    assert (await trace(server, trace_id)).confirmation_count == 1
    other_id = await a_trace(server, 1)
    await refused(retract(server, 1, other_id, request_id), "REQUEST_ID_REUSED")


async def test_a_refused_vote_leaves_its_request_id_free(server: RunningServer) -> None:
    request_id = str(uuid4())
    await refused(cast(server, 1, ABSENT, request_id=request_id), "TRACE_NOT_FOUND")
    assert counts((await cast(server, 1, await a_trace(server), request_id=request_id)).tally) == (1, 0, PENDING)

"""Pages of the votes on a trace."""

from commontrace.domain import limits
from commontrace.v1 import vote_pb2
from commontrace.v1 import vote_service_pb2 as pb
from tests.conftest import RunningServer, administer
from tests.contract.votes.test_votes import a_trace, cast, refused, retract


async def page(server: RunningServer, trace_id: str, size: int = 0, token: str = "") -> pb.ListVotesResponse:
    return await server.votes.ListVotes(
        pb.ListVotesRequest(trace_id=trace_id, page_size=size, page_token=token), timeout=10
    )


async def pages(server: RunningServer, trace_id: str, size: int = 0) -> list[list[vote_pb2.Vote]]:
    found = [await page(server, trace_id, size)]
    while found[-1].next_page_token:
        found.append(await page(server, trace_id, size, found[-1].next_page_token))
    return [list(response.votes) for response in found]


async def store_votes(database_url: str, trace_id: str, count: int, comment: str = "") -> None:
    """Makes votes that all have the same time."""
    voters = f"SELECT gen_random_uuid(), n || '@example.net' FROM generate_series(1, {count}) AS n"  # noqa: S608
    await administer(database_url, f"INSERT INTO users (id, email) {voters}")
    votes = f"""
        INSERT INTO votes (id, trace_id, voter_id, vote_type, revision, comment, created_at)
        SELECT gen_random_uuid(), '{trace_id}', id, 'up', 1, '{comment}', '2026-01-01 00:00:00.000001+00'
        FROM users WHERE email LIKE '%@example.net'"""  # noqa: S608
    await administer(database_url, votes)


async def test_votes_are_listed_newest_first_by_when_they_were_first_cast(server: RunningServer) -> None:
    trace_id, other_id = await a_trace(server), await a_trace(server, 1)
    await cast(server, 1, other_id)
    cast_in_order = [(await cast(server, voter, trace_id, down=voter == 3)).vote for voter in range(5)]
    cast_in_order[1] = (await cast(server, 1, trace_id, down=True)).vote
    newest_first = cast_in_order[::-1]
    assert await pages(server, trace_id) == [newest_first]
    assert await pages(server, trace_id, 1) == [[vote] for vote in newest_first]
    assert await pages(server, trace_id, 2) == [newest_first[:2], newest_first[2:4], newest_first[4:]]
    assert await pages(server, trace_id, 5) == [newest_first]


async def test_a_trace_without_votes_has_an_empty_page(server: RunningServer) -> None:
    assert await pages(server, await a_trace(server)) == [[]]


async def test_a_page_has_50_votes_and_at_most_500(server: RunningServer, database_url: str) -> None:
    trace_id = await a_trace(server)
    await store_votes(database_url, trace_id, 1003)
    assert [len(votes) for votes in await pages(server, trace_id)] == [50] * 20 + [3]
    assert [len(votes) for votes in await pages(server, trace_id, 500)] == [500, 500, 3]
    of_501 = await pages(server, trace_id, 501)
    assert [len(votes) for votes in of_501] == [500, 500, 3]
    assert len({vote.voter_id for votes in of_501 for vote in votes}) == 1003
    assert len((await page(server, trace_id, 2**31 - 1)).votes) == 500


async def test_votes_between_pages_move_no_other_vote(server: RunningServer) -> None:
    trace_id = await a_trace(server)
    votes = [(await cast(server, voter, trace_id)).vote for voter in range(6)][::-1]
    first = await page(server, trace_id, 2)
    await cast(server, "late", trace_id)
    # The last vote of the page, where the next one starts, and one that is still to come.
    for voter in (4, 2):
        await retract(server, voter, trace_id)
    second = await page(server, trace_id, 2, first.next_page_token)
    third = await page(server, trace_id, 500, second.next_page_token)
    assert list(first.votes) == votes[:2]
    assert list(second.votes) == [votes[2], votes[4]]
    assert list(third.votes) == votes[5:]
    assert third.next_page_token == ""


async def test_a_token_continues_the_list_of_its_trace_alone(server: RunningServer) -> None:
    trace_id, other_id = await a_trace(server), await a_trace(server, 1)
    for voter in range(2):
        await cast(server, voter, trace_id)
    token = (await page(server, trace_id, 1)).next_page_token
    await refused(page(server, other_id, 1, token), "INVALID_PAGE_TOKEN")
    assert len((await page(server, trace_id, 7, token)).votes) == 1


async def test_no_page_exceeds_two_mebibytes(server: RunningServer, database_url: str) -> None:
    trace_id = await a_trace(server)
    await store_votes(database_url, trace_id, 510, "\N{CAT FACE}" * limits.VOTE_COMMENT_CHARACTERS)
    first = await page(server, trace_id, 500)
    assert limits.RESPONSE_BYTES * 0.98 < first.ByteSize() <= limits.RESPONSE_BYTES
    found = await pages(server, trace_id, 500)
    assert len(found[0]) < 500
    assert len({vote.voter_id for votes in found for vote in votes}) == sum(map(len, found)) == 510

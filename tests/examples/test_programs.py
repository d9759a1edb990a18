"""The programs of examples/, built from nothing but the contract and run as their readers run them."""

import json
import socket
from collections import Counter

from commontrace.client import connect
from tests.examples.lost_answers import losing_answers
from tests.examples.programs import Program
from tests.examples.shell import run
from tests.faults.server_process import ServerProcess

RUN_SECONDS = 60.0


async def test_what_it_says_and_what_the_server_holds_then(program: Program, server: ServerProcess) -> None:
    async with connect(server.address) as client:
        best = await client.search("container starts before its database is ready", limit=3, ranking="best", full=False)
    async with losing_answers(server.address) as (address, way):
        ended = await run(program.start, place=program.place, seconds=RUN_SECONDS, COMMONTRACE_ADDRESS=address)
    assert ended.status == 0, ended.stderr
    *hits, summary, stored, again, voted, refused = ended.stdout.splitlines()
    assert len(hits) == 3
    assert hits[0].endswith(
        '"Docker Compose: depends_on service_healthy still starts the app before PostgreSQL accepts connections"'
    )
    assert hits == [f"{hit.similarity:.3f} {json.dumps(hit.trace.title)}" for hit in best]
    assert summary in {"3 hits, LIMIT", "3 hits, STOP_REASON_LIMIT"}
    trace_id = stored.removeprefix("stored: ")
    assert again == f"sent again: {trace_id}"
    assert voted in {"confirmations: 1, PENDING", "confirmations: 1, TRACE_STATUS_PENDING"}
    refusal = refused.removeprefix("ada may not vote on it: ")
    assert refusal in {"FailedPrecondition, OWN_TRACE", "FAILED_PRECONDITION, OWN_TRACE"}

    # The first answers to the contribution and to grace's vote were lost; the program itself sent the former once more.
    assert Counter(method for method, _ in way.received) == {"CreateTrace": 3, "CastVote": 3}
    assert sorted(Counter(way.received).values()) == [1, 2, 3]
    async with connect(server.address, user="ada@example.org") as client:
        traces = [trace async for trace in client.list() if trace.title == program.title]
        assert [trace.id for trace in traces] == [trace_id]
        assert traces[0].contributor_id == (await client.service_info()).caller.user_id
        assert traces[0].confirmation_count == 1
        votes = [vote async for vote in client.votes(trace_id)]
    async with connect(server.address, user="grace@example.org") as client:
        assert [vote.voter_id for vote in votes] == [(await client.service_info()).caller.user_id]


async def test_a_second_run_finds_what_the_first_one_stored(program: Program, server: ServerProcess) -> None:
    for _ in range(2):
        ended = await run(program.start, place=program.place, seconds=RUN_SECONDS, COMMONTRACE_ADDRESS=server.address)
        assert ended.status == 0, ended.stderr
    assert "\nknown already: " in ended.stdout


async def test_a_server_that_is_not_there(program: Program) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # nobody else gets the port, and nobody listens on it
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        ended = await run(program.start, place=program.place, seconds=RUN_SECONDS, COMMONTRACE_ADDRESS=address)
    assert (ended.status, ended.stdout) == (1, "")
    said = ended.stderr.splitlines()[0].lower()
    assert said.startswith(f"{address}: ")
    assert "unavailable" in said
    assert "refused" in said

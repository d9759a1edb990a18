"""Bounds of the code path of a search: a reader opens few files and steps through few frames from call to statement.

Counted in one warm unfiltered search by vector, which fetches its hits in the same round trip.
"""

from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer
from tests.contract.search.search_path import recorded_path
from tests.contract.search.searched_traces import a_vector, store_vectors
from tests.integration.storage.storing import unit_vector

# Three of each are the verdict, its use, and the count of what waits, which every search looks at. Ten of the method's
# and eight of the call's are the namespaces that the caller may read, their cache, and the filter that names them.
MOST_METHOD_FILES = 43
MOST_CALL_FILES = 62
MOST_FRAMES = 6


async def test_a_search_runs_few_files_and_frames(server: RunningServer) -> None:
    await store_vectors(server.database, [unit_vector(number) for number in range(10)])
    request = pb.SearchTracesRequest(embedding=a_vector(), limit=3)

    async def search_once() -> list[pb.SearchTracesResponse]:
        return [response async for response in server.traces.SearchTraces(request, timeout=2)]

    # Warm: connections are open, statements prepared.
    for _ in range(3):
        await search_once()
    with recorded_path() as path:
        [response] = await search_once()

    assert len(response.hits) == request.limit
    assert response.summary.stop_reason == pb.STOP_REASON_LIMIT
    for what, found, most in (
        ("files of the RPC method", sorted(path.method_files), MOST_METHOD_FILES),
        ("files of the call", sorted(path.call_files), MOST_CALL_FILES),
        ("frames", path.frames, MOST_FRAMES),
    ):
        assert 2 <= len(found) <= most, f"{len(found)} {what}, at most {most} are allowed:\n" + "\n".join(found)

from commontrace.v1 import trace_export_pb2 as pb
from tests.builders import a_contribution
from tests.conftest import RunningServer


async def test_smoke(server: RunningServer) -> None:
    for n in range(5):
        await server.traces.CreateTrace(a_contribution(n))
    for emb in (False, True):
        got = [
            r
            async for r in server.traces.ExportTraces(
                pb.ExportTracesRequest(batch_size=2, include_embeddings=emb), timeout=10
            )
        ]
        print(got)
        assert [len(r.traces) for r in got] == [2, 2, 1]

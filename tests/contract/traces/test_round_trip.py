"""Round trip: traces exported by one server and imported by another are exported again unchanged."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.core.traces.seed import read_seeds, seed
from commontrace.data_files import data_directory
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage.database import Database
from commontrace.v1 import trace_pb2, trace_record_pb2, vote_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as vote_pb
from commontrace.v1.tag_service_pb2 import MergeTagsRequest
from commontrace.v1.trace_filter_pb2 import TraceFilter
from commontrace.v1.trace_import_pb2 import ImportItem, ImportTracesRequest, ImportTracesResponse
from tests.conftest import RunningServer, ServerFactory, administer, query, url_of
from tests.contract.callers import ADA, BOB, EVE, caller
from tests.contract.errors.error_row import Metadata, objects
from tests.contract.imports.exported_traces import export, records_of
from tests.faults.server_process import ServerProcess
from tests.support.command_in_process import run_in_process

COUNT = 120
EMBEDDER = LexicalEmbedder(384)
WORDS = ("Größe", "naïve", "日本語", "\N{CAT FACE}", "e\u0301", "a\tb", "line\nline", "`code`", "\u2028", "ﬁ")
TAGS = ("Python", "C++", "node.js", "a b", "日本", "golang", "k8s")


@pytest.fixture
def empty_database_urls(postgres_url: str, template: str) -> Iterator[list[str]]:
    """Two more migrated databases without rows."""
    names = [f"test_{uuid4().hex}" for _ in range(2)]
    for name in names:
        asyncio.run(administer(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield [url_of(postgres_url, name) for name in names]
    for name in names:
        asyncio.run(administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


@asynccontextmanager
async def serving(start_server: ServerFactory, url: str) -> AsyncIterator[RunningServer]:
    database = Database(url)
    try:
        if not await database.read(lambda reading: reading.traces.list_seeds()):
            async with database.unit_of_work() as work:
                await work.embedding_models.replace(EMBEDDER, {})
        async with start_server(database=database, embedder=EMBEDDER) as running:
            yield running
    finally:
        await database.close()


async def contribute_all_kinds(server: RunningServer, count: int) -> None:
    """Fills a server with traces that differ in everything a contributor can choose, and in what became of them."""
    random = Random(6)  # noqa: S311 - not a secret
    await seed(read_seeds(data_directory("fixtures")), server.database, EMBEDDER)
    traces: list[trace_pb2.Trace] = []
    owners: dict[str, Metadata] = {}
    for number in range(count):
        metadata = objects(random.randint(1, 5))
        metadata.update({"n": random.choice([0, 1, -1.5, 1e300, 2**53]), random.choice(WORDS): [None, True, {}]})
        owner = random.choice([ADA, BOB])
        # A replaced trace is of the same owner, and replaced by nothing else.
        replaced = traces[-1].id if random.random() < 0.4 and traces and owners[traces[-1].id] == owner else ""
        request = pb.CreateTraceRequest(
            title=f"{random.choice(WORDS)} {number}",
            context=" ".join(random.choices(WORDS, k=20)),
            solution="  " + "\r\n".join(random.choices(WORDS, k=20)) + "\n\n",
            tags=random.sample(TAGS, random.randint(0, 4)),
            agent_model=random.choice(["", "m", "ü"]),
            agent_version=random.choice(["", "1"]),
            metadata=metadata if random.random() < 0.7 else None,
            supersedes_trace_id=replaced,
        )
        traces.append((await server.traces.CreateTrace(request, metadata=owner)).created)
        owners[traces[-1].id] = owner
        if random.random() < 0.2:
            request.on_duplicate = trace_pb2.ON_DUPLICATE_ALLOW
            request.supersedes_trace_id = ""
            assert (await server.traces.CreateTrace(request, metadata=EVE)).HasField("created")
    for trace in random.sample(traces, count // 3):
        vote = vote_pb.CastVoteRequest(trace_id=trace.id, type=vote_pb2.VOTE_TYPE_UP)
        for voter in range(2):
            await server.votes.CastVote(vote, metadata=caller(voter))
    for trace in random.sample(traces, count // 4):
        edited = trace_pb2.Trace(id=trace.id, title=f"{trace.title} edited", tags=["edited"], agent_version="2")
        mask = FieldMask(paths=random.choice([["title"], ["tags"], ["agent_version", "title"]]))
        request_to_edit = pb.UpdateTraceRequest(trace=edited, update_mask=mask)
        await server.traces.UpdateTrace(request_to_edit, metadata=owners[trace.id])
    for trace in random.sample(traces, count // 6):
        await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=trace.id), metadata=owners[trace.id])
    await server.tags.MergeTags(MergeTagsRequest(source="edited", target="python"))


async def import_all(server: RunningServer, records: list[trace_record_pb2.TraceRecord]) -> Counter[str]:
    """How often there was which outcome."""

    async def requests() -> AsyncIterator[ImportTracesRequest]:
        import_id = str(uuid4())
        for start in range(0, len(records), 25):
            items = [
                ImportItem(sequence=number, trace=record)
                for number, record in enumerate(records[start : start + 25], start + 1)
            ]
            yield ImportTracesRequest(import_id=import_id, items=items)

    outcomes: Counter[str] = Counter()
    response: ImportTracesResponse
    async for response in server.traces.ImportTraces(requests(), timeout=60, metadata=EVE):
        outcomes.update(str(result.WhichOneof("outcome")) for result in response.results)
    return outcomes


async def test_an_import_exports_what_was_imported(
    start_server: ServerFactory, database_url: str, empty_database_urls: list[str]
) -> None:
    async with serving(start_server, database_url) as server:
        await contribute_all_kinds(server, COUNT)
        exports = [records_of(await export(server.traces, include_embeddings=wanted)) for wanted in (False, True)]
    contents = "SELECT content_hash FROM traces WHERE deleted_at IS NULL"
    hashes = Counter(await query(database_url, contents))
    for first, other_url in zip(exports, empty_database_urls, strict=True):
        assert len(first) > COUNT
        assert len([record for record in first if record.supersedes_trace_id]) > 10
        assert len([record for record in first if record.on_duplicate == trace_pb2.ON_DUPLICATE_ALLOW]) > 10
        with_vectors = first[0].HasField("embedding")
        assert {record.HasField("embedding") for record in first} == {with_vectors}
        async with serving(start_server, other_url) as other:
            assert await import_all(other, first) == {"created_trace_id": len(first)}
            assert records_of(await export(other.traces, include_embeddings=with_vectors)) == first
            everything = pb.ListTracesRequest(page_size=500, filter=TraceFilter(include_superseded=True))
            listed = (await other.traces.ListTraces(everything)).traces
        assert Counter(await query(other_url, contents)) == hashes
        # What others said of them stays behind, and so does who contributed them.
        assert len(listed) == len(first)
        assert {trace.status for trace in listed} == {trace_pb2.TRACE_STATUS_PENDING}
        assert {(trace.confirmation_count, trace.trust_score, trace.revision) for trace in listed} == {(0, 0, 1)}
        assert len({trace.contributor_id for trace in listed}) == 1


def test_files_are_the_same_bytes_again(
    tmp_path: Path, start_server: ServerFactory, database_url: str, empty_database_urls: list[str]
) -> None:
    async def fill() -> None:
        async with serving(start_server, database_url) as server:
            await contribute_all_kinds(server, COUNT // 4)

    asyncio.run(fill())
    settings = {"EMBEDDER": "lexical", "EMBEDDING_DIMENSIONS": "384"}
    # The template is of another model, and holds no vectors.
    model = f"UPDATE embedding_models SET id = '{EMBEDDER.model_id}', version = '{EMBEDDER.model_version}'"  # noqa: S608
    for url in (database_url, empty_database_urls[0]):
        asyncio.run(administer(url, f"{model}, is_lexical = true"))
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]

    def run(address: str, *arguments: str) -> None:
        ended = run_in_process(tmp_path, *arguments, COMMONTRACE_ADDRESS=address)
        assert ended.returncode == 0, ended.stderr

    with ServerProcess(tmp_path / "one", DATABASE_URL=database_url, **settings) as server:
        run(server.address, "export", str(files[0]), "--embeddings")
    with ServerProcess(tmp_path / "two", DATABASE_URL=empty_database_urls[0], **settings) as server:
        run(server.address, "import", str(files[0]))
        run(server.address, "export", str(files[1]), "--embeddings")
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes().count(b"\n") > COUNT // 4

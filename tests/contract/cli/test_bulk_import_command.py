"""`commontrace bulk-import`: what it stores and says, when it drops the vector index, and what it refuses."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commontrace.domain.doctor.findings import Level
from commontrace.embeddings.embedder import Embedder
from commontrace.serving import bootstrap
from commontrace.serving.bootstrap import Postgres
from commontrace.storage.search.vector_index_state import FRESH_SECONDS
from tests.conftest import administer, query
from tests.contract.cli.command_line import Commands
from tests.contract.cli.test_doctor_commands import look
from tests.contract.cli.test_import_commands import a_file, a_line
from tests.faults.server_process import ServerProcess
from tests.support.command_in_process import run_in_process

INDEX = "ix_traces_embedding_hnsw"
_INDEX_OID = f"SELECT indexrelid::bigint AS oid, indisvalid FROM pg_index WHERE indexrelid = to_regclass('{INDEX}')"  # noqa: S608
_SIGNS_SCANS = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'trace_signs'"


@pytest.fixture
def bulk(tmp_path: Path, database_url: str) -> Iterator[Commands]:
    """Commands against a server that runs before, during and after imports of its database."""
    with ServerProcess(tmp_path, DATABASE_URL=database_url) as server:
        yield Commands(server, tmp_path, database_url)


def rows_of(url: str, sql: str) -> list[Any]:
    return asyncio.run(query(url, sql))


def index_of(url: str) -> int:
    """Returns the vector index, which must be complete."""
    [row] = rows_of(url, _INDEX_OID)
    assert row.indisvalid
    return int(row.oid)


def with_vectors(embedder: Embedder, *lines: dict[str, Any]) -> list[dict[str, Any]]:
    texts = [f"{line['title']}\n\n{line['context']}\n\n{line['solution']}" for line in lines]
    embeddings = asyncio.run(embedder.encode(texts))
    packed = [np.asarray(embedding.vector, dtype="<f4").tobytes() for embedding in embeddings]
    return [
        line | {"embedding": {"packed_f32": base64.b64encode(data).decode(), "model_id": embedder.model_id}}
        for line, data in zip(lines, packed, strict=True)
    ]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_many_traces_are_stored_and_found(bulk: Commands, tmp_path: Path, embedder: Embedder) -> None:
    before = index_of(bulk.database_url)
    lines = with_vectors(embedder, *(a_line(tags=[f"kind-{number % 3}"]) for number in range(30)))
    file = a_file(tmp_path, *lines)
    code, output, message = bulk.run("bulk-import", file, "--as", "ada@example.org")
    assert (code, output) == (0, "imported 30 traces (0 were there already, 0 failed)\n")
    assert "searches go by the signs of the vectors until the vector index is built again" in message
    built = index_of(bulk.database_url)
    assert built != before
    for line in lines[::10]:
        hit = json.loads(bulk.output("search", line["title"], "-n", "1", "--json"))
        assert hit["title"] == line["title"]
    mine = bulk.output("list", "--by", "me", "--as", "ada@example.org", "-n", "50", "--json")
    assert len(mine.splitlines()) == 30
    # The same again is the same import, which has nothing to do.
    code, output, message = bulk.run("bulk-import", file, "--as", "ada@example.org")
    assert (code, output) == (0, "imported 0 traces (30 in an earlier run, 0 were there already, 0 failed)\n")
    assert "the vector index stays" in message
    assert index_of(bulk.database_url) == built


def test_an_import_that_a_server_began_goes_on(bulk: Commands, tmp_path: Path) -> None:
    file = a_file(tmp_path, *(a_line() for _ in range(3)))
    bulk.output("import", file, "--as", "ada@example.org", "--wait")
    code, output, _ = bulk.run("bulk-import", file, "--as", "ada@example.org")
    assert (code, output) == (0, "imported 0 traces (3 in an earlier run, 0 were there already, 0 failed)\n")


def test_fewer_traces_than_are_there_keep_the_index(bulk: Commands, tmp_path: Path) -> None:
    bulk.run("bulk-import", a_file(tmp_path, *(a_line() for _ in range(5))))
    index = index_of(bulk.database_url)
    code, output, message = bulk.run("bulk-import", a_file(tmp_path, *(a_line() for _ in range(5))))
    assert (code, output) == (0, "imported 5 traces (0 were there already, 0 failed)\n")
    assert "the vector index stays: no more traces come than are there" in message
    assert index_of(bulk.database_url) == index
    code, output, _ = bulk.run("bulk-import", a_file(tmp_path, a_line()), "--rebuild")
    assert (code, output) == (0, "imported 1 trace (0 were there already, 0 failed)\n")
    assert index_of(bulk.database_url) != index


def test_a_pipe_is_read_once(bulk: Commands) -> None:
    index = index_of(bulk.database_url)
    lines = "".join(json.dumps(a_line()) + "\n" for _ in range(3))
    code, output, _ = bulk.run("bulk-import", "-", stdin=lines)
    assert (code, output) == (0, "imported 3 traces (0 were there already, 0 failed)\n")
    assert index_of(bulk.database_url) == index


def test_bad_lines_are_told_as_import_tells_them(bulk: Commands, tmp_path: Path) -> None:
    bad = (
        "{",
        a_line(title=""),
        a_line(unknown=1),
        a_line(embedding={"packed_f32": "AAAA", "model_id": "another"}),
        a_line(context="password = 'AKIAIOSFODNN7EXAMPLQ'"),
        a_line(namespace="nowhere"),
        a_line(context="x" * (2 << 20)),
        a_line(metadata={"a": "x" * 70_000}),
        a_line(),
    )
    file = a_file(tmp_path, *bad)
    _, output, message = bulk.run("import", file, "--json", "--as", "ada@example.org")
    failed = [json.loads(line) for line in output.splitlines()]
    code, output, bulk_message = bulk.run("bulk-import", file, "--json", "--as", "grace@example.org")
    bulk_failed = [json.loads(line) for line in output.splitlines()]
    assert code == 1
    assert [one for one in bulk_failed if one["outcome"] == "failed"] == [
        one for one in failed if one["outcome"] == "failed"
    ]
    assert len(bulk_failed) == len(bad)
    told = [line for line in bulk_message.splitlines() if line.startswith("line ")]
    assert told == [line for line in message.splitlines() if line.startswith("line ")]
    # What failed is counted when the same command is repeated.
    code, output, bulk_message = bulk.run("bulk-import", file, "--as", "grace@example.org")
    assert (code, output) == (1, "imported 0 traces (1 were there already, 8 failed)\n")
    assert "of them failed in an earlier run: --again tells why" in bulk_message


def test_searches_go_by_the_signs_while_there_is_no_index(bulk: Commands, tmp_path: Path, embedder: Embedder) -> None:
    lines = with_vectors(embedder, *(a_line() for _ in range(40)))
    bulk.run("bulk-import", a_file(tmp_path, *lines))
    asyncio.run(administer(bulk.database_url, f"DROP INDEX {INDEX}"))
    time.sleep(FRESH_SECONDS)
    title = lines[7]["title"]
    [[before]] = rows_of(bulk.database_url, _SIGNS_SCANS)

    def search_by_signs() -> bool:
        output = bulk.output("search", title, "-n", "3", "--ranking", "cosine", "--json")
        hits = [json.loads(line) for line in output.splitlines()]
        assert (len(hits), hits[0]["title"]) == (3, title)
        # Of each search one scan.
        [[scans]] = rows_of(bulk.database_url, _SIGNS_SCANS)
        return bool(scans >= before + 3)

    until(search_by_signs)
    # An interrupted import leaves the same: the next one builds the index, however few traces it brings.
    code, output, _ = bulk.run("bulk-import", a_file(tmp_path, a_line()))
    assert (code, output) == (0, "imported 1 trace (0 were there already, 0 failed)\n")
    assert index_of(bulk.database_url)


async def test_one_runs_at_a_time(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where = Postgres(url=database_url, is_embedded=False)
    file = a_file(tmp_path, a_line())

    async def refused(*arguments: str) -> str:
        ended = await asyncio.to_thread(run_in_process, tmp_path, *arguments, DATABASE_URL=database_url)
        assert (ended.returncode, ended.stdout) == (1, "")
        return ended.stderr

    async with bootstrap.bulk_loading(where) as loading:
        said = await refused("bulk-import", file)
        assert said == "commontrace: another `commontrace bulk-import` is at work on this database: let it end\n"
        said = await refused("reembed")
        assert "a `commontrace bulk-import` is at work on this database" in said
        await loading.drop_index()
        finding = (await look(monkeypatch, database_url))["index"]
        assert finding.level is Level.WARNING
        assert f"{INDEX} is being rebuilt by a bulk import" in finding.message
    finding = (await look(monkeypatch, database_url))["index"]
    assert finding.level is Level.PROBLEM
    assert "if a bulk import was broken off, run the same command again" in finding.advice
    async with bootstrap.reembedding(where):
        said = await refused("bulk-import", file)
        assert said == "commontrace: a `commontrace reembed` is at work on this database: let it end\n"
    ended = await asyncio.to_thread(run_in_process, tmp_path, "bulk-import", file, DATABASE_URL=database_url)
    assert ended.returncode == 0, ended.stderr
    assert (await look(monkeypatch, database_url))["index"].level is Level.OK


def test_whose_traces_they_become_is_checked(commands: Commands, tmp_path: Path) -> None:
    file = a_file(tmp_path, a_line())
    assert "--as must be one plain e-mail address" in commands.refusal("bulk-import", file, "--as", "nobody")
    assert "--import-id must be a UUID" in commands.refusal("bulk-import", file, "--import-id", "7")
    assert "cannot be read" in commands.refusal("bulk-import", str(tmp_path / "missing.jsonl"))

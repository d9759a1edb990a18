"""`commontrace doctor` on a vector index that fits into Postgres' buffers, and on one that does not."""

import re
from pathlib import Path

import pytest

from commontrace.cli.doctor import checks
from commontrace.domain.doctor.findings import Finding, Level
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.postgres_memory import parse_megabytes
from commontrace.storage import migrations
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from commontrace.storage.models import VECTOR_INDEX_NAME
from tests.conftest import administer, query

COUNT, DIMENSIONS = 2_200, 2_000
"""Vectors so long that each takes a page of the index: 17 MB, more than the smallest buffers."""
SMALLEST = 16
MANY_TRACES = (
    f"DROP INDEX {VECTOR_INDEX_NAME}",
    "INSERT INTO users (id, email) VALUES (gen_random_uuid(), 'ada@example.org')",
    f"""
    INSERT INTO traces (id, title, context_text, solution_text, contributor_id, embedding, embedding_model_id,
        embedding_model_version)
    SELECT gen_random_uuid(), 'title', 'context', 'solution', users.id,
        l2_normalize(ARRAY(SELECT sin(component * n) FROM generate_series(1, {DIMENSIONS}) AS component)::vector),
        embedding_models.id, version
    FROM users, embedding_models, generate_series(1, {COUNT}) AS n""",  # noqa: S608 - our own names
)


async def look(monkeypatch: pytest.MonkeyPatch, **settings: str) -> Finding:
    with monkeypatch.context() as patch:
        for name, value in {"EMBEDDER": "lexical", **settings}.items():
            patch.setenv(name, value)
        [finding] = [finding async for finding in checks.run_checks("nonsense") if finding.check == "memory"]
    return finding


async def test_an_index_larger_than_the_buffers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with embedded_postgres.start(data_dir, shared_buffers=SMALLEST) as postgres:
        await migrations.upgrade(postgres.url, LexicalEmbedder(DIMENSIONS))
        fitting = await look(monkeypatch, DATA_DIR=str(data_dir))
        assert (fitting.level, fitting.message.endswith("they fit into shared_buffers of 16 MB")) == (Level.OK, True)
        [(definition,)] = await query(postgres.url, f"SELECT pg_get_indexdef('{VECTOR_INDEX_NAME}'::regclass)")
        # Of few edges: it is the size that counts here.
        few_edges = re.sub(r" WITH \(.*\)", " WITH (m = 2, ef_construction = 4)", definition)
        for statement in (*MANY_TRACES, few_edges):
            await administer(postgres.url, statement)
        embedded = await look(monkeypatch, DATA_DIR=str(data_dir))
        own = await look(monkeypatch, DATABASE_URL=postgres.url)
        [alter, _] = own.advice.removeprefix("psql: ").split("; ", 1)
        await administer(postgres.url, alter)
    for finding in (embedded, own):
        assert finding.level is Level.WARNING
        sizes = "takes 1[78] MB and the rows beside it 1 MB, shared_buffers has 16 MB: "
        assert re.match(f"{VECTOR_INDEX_NAME} {sizes}", finding.message), finding
    assert "effective_cache_size" in own.message
    assert alter == "ALTER SYSTEM SET shared_buffers = '64MB'"
    setting, _, size = embedded.advice.partition(",")[0].partition("=")
    assert (setting, size) == ("EMBEDDED_SHARED_BUFFERS", "64MB")
    with embedded_postgres.start(data_dir, shared_buffers=parse_megabytes(size)) as postgres:
        for place in ({"DATA_DIR": str(data_dir)}, {"DATABASE_URL": postgres.url}):
            followed = await look(monkeypatch, **place)
            assert (followed.level, followed.advice) == (Level.OK, ""), followed

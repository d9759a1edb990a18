"""Moving a test's database to another model."""

import numpy as np

from commontrace.core.encoding import reembed
from commontrace.domain.traces.contribution import embedding_text
from commontrace.embeddings.embedder import Embedder
from commontrace.serving import bootstrap
from commontrace.serving.bootstrap import Postgres
from tests.conftest import query


async def move_to(model: Embedder, url: str) -> int | None:
    """Does what `commontrace reembed` does, in this process."""
    async with bootstrap.reembedding(Postgres(url=url, is_embedded=False)) as steps:
        return await reembed.reembed(steps, model, on_progress=lambda _done, _total: None)


async def every_vector_is_of(model: Embedder, url: str) -> int:
    """Held against the texts as they are, one by one."""
    columns = (
        "title, context_text, solution_text, embedding::text AS vector, embedding_model_id, embedding_model_version"
    )
    rows = await query(url, f"SELECT {columns} FROM traces")  # noqa: S608 - our own names
    embeddings = await model.encode([embedding_text(*row[:3]) for row in rows])
    for row, embedding in zip(rows, embeddings, strict=True):
        assert row[4:] == (model.model_id, model.model_version)
        stored = np.array(row.vector.strip("[]").split(","), dtype=np.float32)
        np.testing.assert_allclose(stored, embedding.vector, atol=1e-5)
    return len(rows)

"""Moving a test's database to another model."""

from commontrace import bootstrap
from commontrace.bootstrap import Postgres
from commontrace.core import reembedding
from commontrace.embeddings.embedder import Embedder


async def move_to(model: Embedder, url: str) -> int | None:
    """Does what `commontrace reembed` does, in this process."""
    async with bootstrap.reembedding(Postgres(url=url, is_embedded=False)) as steps:
        return await reembedding.reembed(steps, model, on_progress=lambda _done, _total: None)

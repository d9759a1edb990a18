"""Synthetic traces whose vectors lie around topics, as those of real texts do."""

from uuid import uuid4

import numpy as np
from asyncpg import Connection
from numpy.typing import NDArray

from commontrace.storage import vector_type

TOPICS = 400
LATENT_DIMENSIONS = 64
NOISE = 0.35
SHARES = {"common": 0.59, "uncommon": 0.05, "rare": 0.005}
"""How many of the traces have which agent model; all others have none."""
TEXT = "The worker stops answering after a while; the log says nothing. " * 16  # 1 KB each for context and solution


def vectors(count: int, dimensions: int, *, seed: int) -> NDArray[np.float32]:
    """Returns unit vectors, shape (count, dimensions): topics in a latent space, plus noise."""
    topics = np.random.default_rng(0).standard_normal((TOPICS, LATENT_DIMENSIONS))
    basis = np.random.default_rng(1).standard_normal((LATENT_DIMENSIONS, dimensions)) / np.sqrt(LATENT_DIMENSIONS)
    generator = np.random.default_rng(seed)
    latent = topics[generator.integers(0, TOPICS, count)] + 0.5 * generator.standard_normal((count, LATENT_DIMENSIONS))
    wide = latent @ basis + NOISE * generator.standard_normal((count, dimensions))
    unit: NDArray[np.float32] = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)
    return unit


def agent_models(count: int) -> list[str]:
    """Returns the agent models of so many traces, independent of their vectors."""
    names, shares = [*SHARES, ""], [*SHARES.values(), 1 - sum(SHARES.values())]
    models: list[str] = np.random.default_rng(4).choice(names, count, p=shares).tolist()
    return models


async def load(connection: Connection, embeddings: NDArray[np.float32], *, model_id: str, model_version: str) -> None:
    """Stores one trace a vector by COPY, with one user and one tag."""
    await vector_type.register(connection)
    user, tag = uuid4(), uuid4()
    await connection.execute("INSERT INTO users (id, email) VALUES ($1, 'bench@example.org')", user)
    await connection.execute("INSERT INTO tags (id, name) VALUES ($1, 'bench')", tag)
    ids = [uuid4() for _ in embeddings]
    rows = (
        (trace_id, f"Synthetic trace {number}", TEXT, TEXT, vector, model_id, model_version, user, agent_model)
        for number, (trace_id, vector, agent_model) in enumerate(
            zip(ids, embeddings, agent_models(len(ids)), strict=True)
        )
    )
    columns = (
        "id",
        "title",
        "context_text",
        "solution_text",
        "embedding",
        "embedding_model_id",
        "embedding_model_version",
        "contributor_id",
        "agent_model",
    )
    await connection.copy_records_to_table("traces", records=rows, columns=columns)
    pairs = [(trace_id, tag) for trace_id in ids]
    await connection.copy_records_to_table("trace_tags", records=pairs, columns=("trace_id", "tag_id"))
    await connection.execute("ANALYZE")

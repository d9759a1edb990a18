"""A server with a private namespace, an insider and an outsider."""

from collections.abc import AsyncIterator

import pytest

from commontrace.embeddings.embedder import Embedder
from tests.contract.namespaces.parties import Parties, parties
from tests.contract.namespaces.world import gateway


@pytest.fixture
async def both(database_url: str, embedder: Embedder) -> AsyncIterator[Parties]:
    async with gateway(database_url, embedder) as served, parties(served) as made:
        yield made

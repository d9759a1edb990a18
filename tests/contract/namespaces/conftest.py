"""A server with a private namespace, an insider and an outsider; and two servers on one database."""

from collections.abc import AsyncIterator

import pytest

from commontrace.embeddings.embedder import Embedder
from tests.contract.namespaces.pairs import Pair, a_pair
from tests.contract.namespaces.parties import Parties, parties
from tests.contract.namespaces.world import gateway


@pytest.fixture
async def both(database_url: str, embedder: Embedder) -> AsyncIterator[Parties]:
    async with gateway(database_url, embedder) as served, parties(served) as made:
        yield made


@pytest.fixture
async def pair(database_url: str, embedder: Embedder) -> AsyncIterator[Pair]:
    async with a_pair(database_url, embedder) as servers:
        yield servers

"""The cache of the solution, over the real protocol, against a Redis server on a loopback port."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from types import ModuleType
from typing import Any

import pytest
from fakeredis import TcpFakeServer
from redis.asyncio import Redis

from tests.fixtures_code.asgi import serve
from tests.fixtures_code.conftest import ImportCode
from tests.fixtures_code.solutions import block

APP = block("redis-cache-stampede-fastapi", "python")


class RedisServer(TcpFakeServer):
    """Room for all clients to connect at once: a refused one would try again only after a second."""

    request_queue_size = 100


class SlowLoader:
    """Counts its calls; each takes long enough for every concurrent request to miss."""

    def __init__(self, value: Any = "fresh") -> None:
        self.calls, self.value, self.started = 0, value, asyncio.Event()

    async def __call__(self) -> Any:
        self.calls += 1
        self.started.set()
        await asyncio.sleep(0.2)
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


@pytest.fixture
def redis_url() -> Iterator[str]:
    server = RedisServer(("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def module(import_code: ImportCode, monkeypatch: pytest.MonkeyPatch, redis_url: str) -> ModuleType:
    monkeypatch.setenv("REDIS_URL", redis_url)
    return import_code(APP.code)


@pytest.fixture
async def workers(redis_url: str) -> AsyncIterator[list[Redis]]:
    """Three clients with connections of their own, as three server processes have."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(Redis.from_url(redis_url, decode_responses=True)) for _number in range(3)
        ]


async def test_an_expired_key_is_loaded_once_by_all_workers(module: ModuleType, workers: list[Redis]) -> None:
    caches, load = [module.Cache(redis) for redis in workers], SlowLoader()
    answers = await asyncio.gather(*(caches[n % 3].get_or_load("report", load) for n in range(30)))
    assert answers == ["fresh"] * 30
    assert load.calls == 1
    assert await caches[0].get_or_load("report", load) == "fresh"
    assert load.calls == 1
    assert await workers[0].keys() == ["report"]
    assert 50_000 <= await workers[0].pttl("report") <= 66_000


async def test_without_the_lock_every_request_loads(import_code: ImportCode, workers: list[Redis]) -> None:
    cache, load = import_code(APP.altered("nx=True, ", "")).Cache(workers[0]), SlowLoader()
    await asyncio.gather(*(cache.get_or_load("report", load) for _number in range(10)))
    assert load.calls > 5


async def test_different_keys_do_not_wait_for_each_other(module: ModuleType, workers: list[Redis]) -> None:
    cache, load = module.Cache(workers[0]), SlowLoader()
    async with asyncio.timeout(1.5):  # one after the other takes two seconds
        await asyncio.gather(*(cache.get_or_load(f"report:{n}", load) for n in range(10)))
    assert load.calls == 10


async def test_none_is_cached_as_well(module: ModuleType, workers: list[Redis]) -> None:
    cache, load = module.Cache(workers[0]), SlowLoader(None)
    assert [await cache.get_or_load("missing", load) for _number in range(2)] == [None, None]
    assert load.calls == 1


async def test_a_failed_load_is_reported_and_not_cached(module: ModuleType, workers: list[Redis]) -> None:
    cache, load = module.Cache(workers[0]), SlowLoader(ValueError("database away"))
    with pytest.raises(ValueError, match="database away"):
        await cache.get_or_load("report", load)
    assert await workers[0].keys() == []
    load.value = "fresh"
    assert await cache.get_or_load("report", load) == "fresh"


async def test_the_lock_of_a_dead_loader_expires(module: ModuleType, workers: list[Redis]) -> None:
    await workers[1].set("report:lock", "token of a process that died", px=150)
    load = SlowLoader()
    async with asyncio.timeout(2):
        assert await module.Cache(workers[0]).get_or_load("report", load) == "fresh"
    assert load.calls == 1


async def test_a_loader_that_outlived_its_lock_leaves_its_successors_alone(
    module: ModuleType, workers: list[Redis]
) -> None:
    load = SlowLoader()
    slow = asyncio.create_task(module.Cache(workers[0], lock_ttl=0.05).get_or_load("report", load))
    await load.started.wait()
    await asyncio.sleep(0.1)
    assert await workers[1].set("report:lock", "successor", nx=True)
    assert await slow == "fresh"
    assert await workers[1].get("report:lock") == "successor"


async def test_without_redis_the_database_answers(module: ModuleType, unused_tcp_port: int) -> None:
    load = SlowLoader()
    async with Redis.from_url(f"redis://127.0.0.1:{unused_tcp_port}/0", decode_responses=True) as redis:
        assert await module.Cache(redis).get_or_load("report", load) == "fresh"
    assert load.calls == 1


async def test_the_endpoint_serves_from_the_cache(module: ModuleType, workers: list[Redis]) -> None:
    async with serve(module.app) as client:
        answers = await asyncio.gather(*(client.get(f"/products/{n}") for n in (7, 7, 7, 1000)))
        assert [answer.status_code for answer in answers] == [200, 200, 200, 404]
        assert answers[0].json() == {"id": 7, "name": "Lamp"}
        async with asyncio.timeout(0.7):  # the query takes 0.8 s
            assert (await client.get("/products/7")).json() == {"id": 7, "name": "Lamp"}
    assert sorted(await workers[0].keys()) == ["product:v1:1000", "product:v1:7"]

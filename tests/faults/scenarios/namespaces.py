"""Eight users of five namespaces, whose members and visibility change at random, judged by a model of access."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from unittest.mock import patch

import grpc

from commontrace.core.invalidation import Invalidation
from commontrace.core.keys import service as key_service
from commontrace.core.namespaces import access_cache
from commontrace.core.namespaces import service as namespace_service
from commontrace.domain.caller import Caller
from commontrace.domain.namespaces.access import COMMONS_ONLY
from commontrace.domain.namespaces.namespace import COMMONS, Role, Visibility
from commontrace.domain.scopes import BEYOND_NAMESPACES, EVERYTHING, Scope
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.serving.bootstrap import Foundation
from commontrace.serving.server import serving
from commontrace.settings import Settings
from commontrace.storage.database import Database
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from commontrace.storage.namespaces.enabling import enable
from commontrace.v1.namespace_service_pb2_grpc import NamespaceServiceStub
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from commontrace.v1.vote_service_pb2_grpc import VoteServiceStub
from tests.faults.harness.access_model import AccessModel
from tests.faults.harness.access_verdicts import Judge, Server, World
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.namespace_clients import NamespaceClient
from tests.support.builders import a_contribution
from tests.support.keys import Metadata, bearer
from tests.support.prepared_data import copy_migrated

_EMBEDDER = LexicalEmbedder(64)
_USERS = tuple(f"user-{number}@example.org" for number in range(8))
_NAMESPACES = tuple(f"team-{number}" for number in range(5))
_BOUND = {_USERS[6]: frozenset({COMMONS, "team-0", "team-1"}), _USERS[7]: frozenset({"team-2"})}
_OPERATIONS = 20_000
_ROOT = "root@example.org"


async def measure(trial: Trial) -> list[Figure]:
    """One of the two servers does not hear of changes. Unprotected: everybody reaches what an admin does."""
    chance = random.Random(trial.seed)  # noqa: S311 - who may what is no secret
    model = _initial(chance)
    async with _database(trial.place) as url, AsyncExitStack() as stack:
        root, keys = await _set_up(url, model)
        if not trial.protected:
            stack.enter_context(patch.object(access_cache, "_reach", _reach_of_admin))
        servers = [await stack.enter_async_context(_served(url))]
        with patch.object(Invalidation, "run", _hear_nothing):
            servers.append(await stack.enter_async_context(_served(url)))
        world = World(model=model, chance=chance, servers=servers, root=root, most=trial.times(_OPERATIONS))
        for number, name in enumerate(model.names):
            created = await servers[0].traces.CreateTrace(a_contribution(number, namespace=name), metadata=root)
            world.traces[created.created.id] = name
        clients = [NamespaceClient(judge=Judge(user=user, world=world), key=keys[user], world=world) for user in _USERS]
        await asyncio.gather(*(client.act() for client in clients))
    of = f"{world.operations:,} operations, {world.decided:,} judgements without a doubt"
    return [
        Figure(
            name="shown or written in namespaces without access in the last 4 s",
            target="0",
            measured=f"{len(world.leaks):,} of {world.shown:,} in {of}" + _first(world.leaks),
            ok=not world.leaks,
        ),
        Figure(
            name="refused in namespaces with access throughout the last 4 s",
            target="0",
            measured=f"{len(world.wrongly_refused):,} of {world.refused:,} in {of}" + _first(world.wrongly_refused),
            ok=not world.wrongly_refused,
        ),
    ]


def _first(found: list[str]) -> str:
    return f", such as {found[0]}" if found else ""


def _initial(chance: random.Random) -> AccessModel:
    model = AccessModel(_USERS, _BOUND)
    model.add(COMMONS, Visibility.OPEN, {})
    visibilities = [Visibility.PRIVATE, Visibility.PRIVATE, Visibility.PRIVATE, Visibility.READABLE, Visibility.OPEN]
    for name, visibility in zip(_NAMESPACES, visibilities, strict=True):
        members = {user: chance.choice(list(Role)[:3]) for user in _USERS if chance.random() < 0.4}
        model.add(name, visibility, members)
    return model


async def _set_up(url: str, model: AccessModel) -> tuple[Metadata, dict[str, Metadata]]:
    """Makes the namespaces and the keys before any server knows of them."""
    database = Database(url)
    async with database.unit_of_work() as work:
        root_id = await work.users.get_or_create(_ROOT)
        root = bearer(await key_service.create(_ROOT, EVERYTHING, work))
        ids = {user: await work.users.get_or_create(user) for user in _USERS}
        for name in _NAMESPACES:
            info = await namespace_service.create(
                name,
                description="",
                visibility=model.visibility(name),
                access=COMMONS_ONLY,
                work=work,
                caller_id=root_id,
            )
            for user, role in model.members(name).items():
                await work.members.save(info.row.id, ids[user], role)
    scopes = EVERYTHING - {Scope.TRACES_ADMIN}
    keys = {}
    async with database.unit_of_work() as work:
        for user in _USERS:
            bound = _BOUND.get(user, frozenset())
            within = scopes - set(BEYOND_NAMESPACES) if bound else scopes
            keys[user] = bearer(await key_service.create(user, within, work, namespaces=bound))
    await database.close()
    return root, keys


def _reach_of_admin(_: Caller) -> access_cache._Reach:
    return access_cache._Reach("", is_admin=True, bound_names=None)


async def _hear_nothing(_invalidation: Invalidation) -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def _database(place: Path) -> AsyncIterator[str]:
    copy_migrated(place, dimensions=_EMBEDDER.dimensions)
    with embedded_postgres.start(place, version="18") as postgres:
        await enable(postgres.url)
        yield postgres.url


@asynccontextmanager
async def _served(url: str) -> AsyncIterator[Server]:
    settings = Settings.model_validate({"listen_address": "127.0.0.1:0", "authentication": "keys"})
    database = Database(url)
    async with (
        serving(settings, Foundation(database=database, embedder=_EMBEDDER)) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield Server(
            traces=TraceServiceStub(channel), votes=VoteServiceStub(channel), namespaces=NamespaceServiceStub(channel)
        )
    await database.close()

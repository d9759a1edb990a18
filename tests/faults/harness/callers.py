"""The users of a scenario: each has a key of its own, since servers here ask for keys."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg
import grpc

from commontrace.storage.database import Database
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from tests.faults.server_process import ServerProcess
from tests.support.keys import Metadata, a_key, bearer

SOMEBODY = "somebody@example.org"
_USER = "x-commontrace-user"
_OURS = "/commontrace."
_KINDS = {"unary_unary", "unary_stream", "stream_unary", "stream_stream"}


class Callers:
    """Makes a key, with every scope, when a user is first asked for."""

    def __init__(self, database_url: str) -> None:
        """Takes the database's own address, which nothing breaks."""
        self._database_url = database_url
        self._keys: dict[str, str] = {}
        self._making = asyncio.Lock()

    async def key(self, user: str = SOMEBODY) -> str:
        """Returns what `connect(key=...)` takes."""
        async with self._making:
            if user not in self._keys:
                self._keys[user] = await self._make(user)
            return self._keys[user]

    async def metadata(self, user: str = SOMEBODY) -> Metadata:
        """Returns what a call brings."""
        return bearer(await self.key(user))

    @asynccontextmanager
    async def channel(
        self, address: str, *, users: Sequence[str] = (), options: Sequence[tuple[str, Any]] = ()
    ) -> AsyncIterator[grpc.aio.Channel]:
        """Yields a channel whose calls bring a key: that of the one of the `users` whom they name, else somebody's."""
        keys = {user: await self.metadata(user) for user in (SOMEBODY, *users)}
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            yield cast("grpc.aio.Channel", _Keyed(channel, keys))

    async def _make(self, user: str) -> str:
        database = Database(self._database_url, pool_size=1)
        try:
            made = await a_key(database, user)
        finally:
            await database.close()
        connection = await asyncpg.connect(self._database_url.replace("+asyncpg", ""))
        try:
            # Where Postgres is to forget what it has acknowledged, it is to be calls, not keys.
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()
        return made.text


def callers_of(running: ServerProcess) -> Callers:
    """Returns the users of a server's embedded Postgres."""
    url = embedded_postgres.attach(running.data_dir)
    assert url is not None
    return Callers(url)


class _Keyed:
    """A channel that adds keys to the metadata of calls of the contract; of health, nobody asks for one."""

    def __init__(self, channel: grpc.aio.Channel, keys: Mapping[str, Metadata]) -> None:
        self._channel = channel
        self._keys = keys

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._channel, name)
        return self._keyed(attribute) if name in _KINDS else attribute

    def _keyed(self, kind: Callable[..., Any]) -> Callable[..., Any]:
        def opened(path: str, *serializers: Any, **others: Any) -> Callable[..., Any]:
            begin: Callable[..., Any] = kind(path, *serializers, **others)
            if not path.startswith(_OURS):
                return begin
            return lambda *request, metadata=(), **options: begin(
                *request, metadata=self._with_key(tuple(metadata or ())), **options
            )

        return opened

    def _with_key(self, metadata: Metadata) -> Metadata:
        users = [value for name, value in metadata if name == _USER]
        if len(users) == 1 and users[0] in self._keys:
            return (*(entry for entry in metadata if entry[0] != _USER), *self._keys[users[0]])
        return (*metadata, *self._keys[SOMEBODY])

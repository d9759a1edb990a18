"""The client of one CommonTrace server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from typing import Self

from commontrace import DEFAULT_ADDRESS
from commontrace.client.aio.calls import open_channel
from commontrace.client.aio.export_calls import TraceExporting
from commontrace.client.aio.import_calls import TraceImporting
from commontrace.client.aio.moderation_calls import Moderating
from commontrace.client.aio.read_calls import TraceReading
from commontrace.client.aio.tag_calls import Tags
from commontrace.client.aio.vote_calls import Votes
from commontrace.client.aio.watch_calls import Watching
from commontrace.client.aio.write_calls import TraceWriting
from commontrace.client.call_options import DEFAULT_DEADLINE, CallOptions
from commontrace.client.tls import Tls


class Client(TraceReading, TraceWriting, TraceImporting, TraceExporting, Watching, Votes, Tags, Moderating):
    """Calls of one server. Every method raises CallFailed, those that yield when they are read."""

    def within(self, seconds: float) -> Self:
        """Returns a client of the same channel whose calls may take so many seconds."""
        client = copy(self)
        client._options = self._options.within(seconds)
        return client


@asynccontextmanager
async def connect(
    address: str = DEFAULT_ADDRESS,
    *,
    key: str | None = None,
    user: str | None = None,
    deadline: float = DEFAULT_DEADLINE,
    wait_for_ready: bool | None = None,
    tls: bool | Tls = False,
) -> AsyncIterator[Client]:
    """Yields a client of the server at `address`, which calls with the API key `key`.

    A server that asks for no key takes the caller for the `user` with that e-mail address. Servers of one database can
    be named together, such as `ipv4:10.0.0.1:50051,10.0.0.2:50051` or `dns:///NAME:50051`: calls are spread over those
    that do not stop. `deadline` is what every call may take, in seconds; see also `Client.within`. With
    `wait_for_ready`, calls wait until then for a server that is not there; with False, they fail at once; by default,
    they wait for a server that has answered before, so that they outlast its restart. With `tls=True`, the server's
    certificate must come from a public authority; with a `Tls`, from those that it names. Nothing is sent before the
    first call. Raises ValueError for what cannot be an address, a key, a user or a deadline, and for files of a `Tls`
    that cannot be used.
    """
    options = CallOptions(
        address=address, user=user, key=key, deadline=deadline, wait_for_ready=wait_for_ready, tls=Tls.of(tls)
    )
    async with open_channel(address, options.tls) as channel:
        yield Client(channel, options)

# Generated from the asynchronous client by `make generate`. Do not edit.
"""The client of one CommonTrace server."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Self

from commontrace import DEFAULT_ADDRESS
from commontrace.client.call_options import DEFAULT_DEADLINE, CallOptions
from commontrace.client.sync.calls import open_channel
from commontrace.client.sync.export_calls import ExportCalls
from commontrace.client.sync.import_calls import ImportCalls
from commontrace.client.sync.moderation_calls import ModerationCalls
from commontrace.client.sync.namespace_calls import NamespaceCalls
from commontrace.client.sync.read_calls import ReadCalls
from commontrace.client.sync.tag_calls import TagCalls
from commontrace.client.sync.vote_calls import VoteCalls
from commontrace.client.sync.watch_calls import WatchCalls
from commontrace.client.sync.write_calls import WriteCalls
from commontrace.client.tls import Tls


class Client(
    ReadCalls, WriteCalls, ImportCalls, ExportCalls, WatchCalls, VoteCalls, TagCalls, ModerationCalls, NamespaceCalls
):
    """Client of one server. Every method raises CallFailed; generators raise it when they are read."""

    def within(self, seconds: float) -> Self:
        """Returns a client on the same channel whose calls have a deadline of so many seconds."""
        client = copy(self)
        client._options = self._options.within(seconds)
        return client


@contextmanager
def connect(
    address: str = DEFAULT_ADDRESS,
    *,
    key: str | None = None,
    user: str | None = None,
    deadline: float = DEFAULT_DEADLINE,
    wait_for_ready: bool | None = None,
    tls: bool | Tls = False,
) -> Iterator[Client]:
    """Yields a client of the server at `address`, which authenticates with the API key `key`.

    For a server that asks for no key, `user` is the caller's e-mail address. Several servers of one database can be
    named together, such as `ipv4:10.0.0.1:50051,10.0.0.2:50051` or `dns:///NAME:50051`: calls are balanced over all
    that do not shut down. `deadline` is the deadline of each call, in seconds; see also `Client.within`. With
    `wait_for_ready` True, calls wait for an unreachable server until their deadline; with False, they fail at once; by
    default, they wait for a server that has answered before, and so outlast its restart. With `tls=True`, the server's
    certificate must come from a public authority; with a `Tls`, from its authorities. Sends nothing before the first
    call. Raises ValueError for an invalid address, key, user or deadline, and for files of a `Tls` that cannot be used.
    """
    options = CallOptions(
        address=address, user=user, key=key, deadline=deadline, wait_for_ready=wait_for_ready, tls=Tls.of(tls)
    )
    with open_channel(address, options.tls) as channel:
        yield Client(channel, options)

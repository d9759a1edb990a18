"""Access of the call in progress: resolved once for a call, and anew before each message of a stream (ADR 0061)."""

from commontrace.core.namespaces.access_cache import NamespaceAccessCache
from commontrace.domain.errors import NamespaceNotFound
from commontrace.domain.namespaces.access import NamespaceAccess, ReadableNamespaces
from commontrace.rpc.call import current_call, current_caller


class CallAccess:
    """What the caller of the current call may reach."""

    def __init__(self, cache: NamespaceAccessCache) -> None:
        self._cache = cache

    async def resolve(self) -> NamespaceAccess:
        """Returns the caller's access, the same throughout a call. Raises DatabaseUnavailable, Overloaded."""
        call = current_call.get()
        if call.access is None:
            caller = current_caller()
            call.access = self._cache.get(caller) or await self._cache.load(caller)
        return call.access

    async def renew(self) -> NamespaceAccess:
        """Resolves the access of a stream anew.

        Raises NamespaceNotFound where the caller may no longer read what the stream reads.
        """
        call = current_call.get()
        before, call.access = call.access, None
        access = await self.resolve()
        if before is not None and access is not before:
            for namespace_id in call.read_namespace_ids:
                if namespace_id not in access.roles:
                    raise NamespaceNotFound(before.roles[namespace_id].name)
        return access

    def changed(self) -> None:
        """Called after a change of namespaces by this server, so that its caller sees it at once."""
        self._cache.invalidate_all()


def stream_reads(namespaces: ReadableNamespaces) -> None:
    """Records what the current stream reads: it ends when the caller may no longer read one of them."""
    current_call.get().read_namespace_ids = namespaces.ids

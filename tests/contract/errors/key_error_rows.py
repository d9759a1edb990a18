"""Error rows for API keys: every RPC, every kind of invalid key."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.domain.keys import api_key
from commontrace.domain.keys.api_key import new_key
from commontrace.domain.scopes import EVERYTHING, Scope
from commontrace.rpc import services
from commontrace.rpc.scopes import required_scopes
from commontrace.storage.database import Database
from commontrace.v1 import trace_pb2, trace_service_pb2
from tests.contract.errors.error_row import DELETE, UNDELETE, UPDATE, VALID, Code, Metadata, Row
from tests.support.keys import a_key, bearer, revoke

SCOPES = required_scopes(*services.FILES)

_UNKNOWN = new_key().text
_LAST = "0" if _UNKNOWN[-1] != "0" else "1"
MALFORMED: dict[str, Metadata] = {
    "empty": (("authorization", ""),),
    "without a key": (("authorization", "Bearer "),),
    "of another scheme": (("authorization", f"Basic {_UNKNOWN}"),),
    "without a scheme": (("authorization", _UNKNOWN),),
    "of another kind": bearer("sk-" + "a" * 48),
    "cut short": bearer(_UNKNOWN[:-1]),
    "with a wrong checksum": bearer(_UNKNOWN[:-1] + _LAST),
    "in capitals": bearer(_UNKNOWN.upper()),
    "too long": bearer(_UNKNOWN * 20),
    "sent twice": bearer(_UNKNOWN) * 2,
}
"""What is no key on any server."""


@dataclass(kw_only=True)
class Keys:
    """API keys of the calls: by their defect, and by the scope that they lack."""

    wrong: Mapping[str, Metadata] = field(default_factory=dict)
    lacking: Mapping[Scope, Metadata] = field(default_factory=dict)
    right: Metadata = ()


async def make_keys(database: Database) -> Keys:
    """One user for each: nobody has more than two live keys."""
    expired = await a_key(database, "expired@example.org", expires_in=timedelta(0))
    revoked = await a_key(database, "revoked@example.org")
    await revoke(database, revoked.id)
    right = await a_key(database, "right@example.org")
    lacking = {
        scope: await a_key(database, f"without-{position}@example.org", EVERYTHING - {scope})
        for position, scope in enumerate(Scope)
    }
    return Keys(
        wrong={
            "unknown": bearer(_UNKNOWN),
            "with another secret": bearer(_forged(right)),
            "expired": bearer(expired),
            "revoked": bearer(revoked),
        },
        lacking={scope: bearer(key) for scope, key in lacking.items()},
        right=bearer(right),
    )


def malformed_key_rows(rpc: str) -> Iterator[Row]:
    """Refused on every server, whether it asks for keys or not."""
    for name, metadata in MALFORMED.items():
        yield _refused(rpc, f"key {name}", "INVALID_KEY", metadata)


def key_rows(keys: Keys) -> Iterator[Row]:
    """Refused on a server that asks for keys."""
    for rpc in VALID:
        yield _refused(rpc, "no key", "KEY_REQUIRED", ())
        yield _refused(rpc, "a claim instead", "KEY_REQUIRED", (("x-commontrace-user", "right@example.org"),))
        yield _refused(
            rpc, "somebody else's name", "INVALID_USER", (*keys.right, ("x-commontrace-user", "b@example.org"))
        )
        for name, metadata in keys.wrong.items():
            yield _refused(rpc, f"key {name}", "INVALID_KEY", metadata)
        yield from malformed_key_rows(rpc)
        scope = SCOPES[rpc]
        yield Row(
            name=f"without {scope}",
            rpc=rpc,
            request=VALID[rpc],
            code=Code.PERMISSION_DENIED,
            reason="SCOPE_MISSING",
            metadata=keys.lacking.get(scope, ()),
        )


def others_trace_rows(trace_id: str, metadata: Metadata) -> Iterator[Row]:
    """Refused although the key is right: the trace is somebody else's."""
    requests = {
        UPDATE: trace_service_pb2.UpdateTraceRequest(
            trace=trace_pb2.Trace(id=trace_id, title="a"), update_mask=FieldMask(paths=["title"])
        ),
        DELETE: trace_service_pb2.DeleteTraceRequest(trace_id=trace_id),
        UNDELETE: trace_service_pb2.UndeleteTraceRequest(trace_id=trace_id),
    }
    for rpc, request in requests.items():
        yield Row(
            name="other's trace",
            rpc=rpc,
            request=request,
            code=Code.PERMISSION_DENIED,
            reason="NOT_OWNER",
            metadata=metadata,
        )


def _refused(rpc: str, name: str, reason: str, metadata: Metadata) -> Row:
    return Row(name=name, rpc=rpc, request=VALID[rpc], code=Code.UNAUTHENTICATED, reason=reason, metadata=metadata)


def _forged(key: api_key.ApiKey) -> str:
    unchecked = key.text[:35] + new_key().text[35:-6]
    return unchecked + api_key._checksum(unchecked)

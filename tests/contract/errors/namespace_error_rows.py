"""Error rows for namespaces: fields of the calls, and conflicts with stored namespaces, members and roles."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from commontrace.domain import limits
from commontrace.domain.scopes import OF_AN_AGENT, Scope
from commontrace.rpc.messages.namespaces import BY_EMAIL, BY_NAME
from commontrace.rpc.paging.page_tokens import TokenField
from commontrace.storage.namespaces import enabling
from commontrace.v1 import (
    namespace_pb2,
    trace_event_pb2,
    trace_export_pb2,
    trace_filter_pb2,
    trace_import_pb2,
    vote_pb2,
)
from commontrace.v1 import namespace_service_pb2 as pb
from commontrace.v1 import trace_service_pb2 as trace_pb
from commontrace.v1 import vote_service_pb2 as vote_pb
from commontrace.v1.namespace_service_pb2_grpc import NamespaceServiceStub
from tests.conftest import RunningServer, administer
from tests.contract.errors.error_row import (
    CAST_VOTE,
    CREATE,
    CREATE_NAMESPACE,
    DELETE,
    DELETE_NAMESPACE,
    EXPORT,
    GET,
    GET_NAMESPACE,
    HIDE,
    IMPORT,
    LIST,
    LIST_MEMBERS,
    LIST_NAMESPACES,
    NO_IDS,
    PROMOTE,
    PURGE,
    REMOVE_MEMBER,
    SEARCH,
    SET_MEMBER,
    UNHIDE,
    UNKNOWN_ID,
    UPDATE_NAMESPACE,
    WATCH,
    Code,
    Metadata,
    Row,
    invalid,
    malformed,
)
from tests.contract.imports.imports import a_record, message
from tests.support.builders import a_contribution
from tests.support.keys import a_key, bearer

READER = namespace_pb2.NAMESPACE_ROLE_READER
NO_NAMES = {
    "in capitals": "Team",
    "beginning with -": "-team",
    "ending with -": "team-",
    "of - alone": "-",
    "with a space": "team ",
    "with _": "my_team",
    "with NUL": "team\0",
    "with a newline": "team\n",
    "of another script": "\u0442eam",
    "with digits of another script": "team\u0661",
    "too long by one": "a" * 64,
    "of a megabyte": "a" * 1_000_000,
}
_FORBIDDEN = "\0\x1b\x85\u202e\u2066\U000e0041"
_NO_TOKENS = {"a word": "next", "spaces": "   ", "NUL": "\0", "an emoji": "\N{SNAKE}", "a megabyte": "A" * 1_000_000}
_NO_NAMES_IN_TOKENS: dict[str, Any] = {
    "nothing": [],
    "a number": [1],
    "null": [None],
    "a list": [["team"]],
    "two names": ["a", "b"],
    "a name that is none": ["Team"],
}
_NO_ADDRESSES_IN_TOKENS: dict[str, Any] = {
    "nothing": [],
    "a number": [1],
    "null": [None],
    "a list": [["ada@example.org"]],
    "two addresses": ["ada@example.org", "bob@example.org"],
    "NUL": ["ada\0@example.org"],
    "a surrogate": ["\ud800"],
    "a long address": ["é" * 2000],
}


def namespace_rows() -> Iterator[Row]:
    """Rows of a server that asks for no keys, whose database has `commons` alone."""
    yield from _create_rows()
    yield from _update_rows()
    yield from _named(GET_NAMESPACE, "name", lambda name: pb.GetNamespaceRequest(name=name))
    yield from _named(DELETE_NAMESPACE, "name", lambda name: pb.DeleteNamespaceRequest(name=name))
    yield from _with_request_ids(DELETE_NAMESPACE, pb.DeleteNamespaceRequest(name="team"))
    commons = pb.DeleteNamespaceRequest(name="commons")
    yield invalid(DELETE_NAMESPACE, "commons", "FIELD_NOT_ALLOWED", "name", commons)
    yield from _member_rows()
    yield from _pages(LIST_NAMESPACES, BY_NAME, _NO_NAMES_IN_TOKENS, pb.ListNamespacesRequest())
    of_commons = pb.ListMembersRequest(namespace="commons")
    yield from _pages(LIST_MEMBERS, BY_EMAIL, _NO_ADDRESSES_IN_TOKENS, of_commons)
    yield from _named(LIST_MEMBERS, "namespace", lambda name: pb.ListMembersRequest(namespace=name))
    other = pb.ListMembersRequest(namespace="team")
    foreign = pb.ListMembersRequest(namespace="commons", page_token=BY_EMAIL.token(other, "a@example.org"))
    yield invalid(LIST_MEMBERS, "token of another namespace", "INVALID_PAGE_TOKEN", "page_token", foreign)
    yield from _rows_of_traces()


def _create_rows() -> Iterator[Row]:
    yield from _no_names(CREATE_NAMESPACE, "name", lambda name: pb.CreateNamespaceRequest(name=name))
    yield from _with_request_ids(CREATE_NAMESPACE, pb.CreateNamespaceRequest(name="team"))
    for name, (reason, text) in _descriptions().items():
        request = pb.CreateNamespaceRequest(name="team", description=text)
        yield invalid(CREATE_NAMESPACE, f"description {name}", reason, "description", request)
    for value in (-(2**31), -1, 4, 2**31 - 1):
        request = pb.CreateNamespaceRequest(name="team", visibility=value)  # type: ignore[arg-type] # unknown numbers
        yield invalid(CREATE_NAMESPACE, f"visibility {value}", "UNKNOWN_ENUM_VALUE", "visibility", request)
    yield malformed(CREATE_NAMESPACE, "name not UTF-8", b"\x0a\x01\xff")
    yield _disabled(CREATE_NAMESPACE, pb.CreateNamespaceRequest(name="team"))


def _update_rows() -> Iterator[Row]:
    yield from _named(UPDATE_NAMESPACE, "namespace.name", lambda name: _update("description", name=name))
    yield from _with_request_ids(UPDATE_NAMESPACE, _update("description"))
    yield invalid(UPDATE_NAMESPACE, "no mask", "FIELD_REQUIRED", "update_mask", _update())
    for path in ("name", "trace_count", "my_role", "create_time", "etag", "namespace.description", "*", "é" * 1000):
        request = _update("description", path)
        yield invalid(UPDATE_NAMESPACE, f"mask {path[:20]}", "INVALID_FIELD_MASK", "update_mask", request)
    for name, (reason, text) in _descriptions().items():
        request = _update("description", description=text)
        yield invalid(UPDATE_NAMESPACE, f"description {name}", reason, "namespace.description", request)
    no_visibility, field = _update("visibility"), "namespace.visibility"
    yield invalid(UPDATE_NAMESPACE, "no visibility", "FIELD_REQUIRED", field, no_visibility)
    for value in (-(2**31), -1, 4, 2**31 - 1):
        request = _update("visibility", visibility=value)
        yield invalid(UPDATE_NAMESPACE, f"visibility {value}", "UNKNOWN_ENUM_VALUE", field, request)
    too_long = _update("description", etag="e" * (limits.ETAG_CHARACTERS + 1))
    yield invalid(UPDATE_NAMESPACE, "etag too long", "FIELD_TOO_LONG", "etag", too_long)
    for etag in ("e0", "e2", "E1", "é" * limits.ETAG_CHARACTERS):
        yield _row(
            UPDATE_NAMESPACE,
            f"etag {etag[:9]}",
            Code.ABORTED,
            "STALE_ETAG",
            _update("description", name="commons", etag=etag),
        )
    private = _update("visibility", name="commons", visibility=namespace_pb2.NAMESPACE_VISIBILITY_PRIVATE)
    yield _disabled(UPDATE_NAMESPACE, private)
    # What the mask leaves out is not looked at.
    others = _update("visibility", visibility=namespace_pb2.NAMESPACE_VISIBILITY_OPEN, description="\0" * 501)
    yield _not_found(UPDATE_NAMESPACE, "unknown, described too long", others)


def _member_rows() -> Iterator[Row]:
    def setting(**changes: Any) -> pb.SetMemberRequest:
        fields: dict[str, Any] = {"namespace": "commons", "email": "ada@example.org", "role": READER}
        return pb.SetMemberRequest(**(fields | changes))

    def removing(**changes: Any) -> pb.RemoveMemberRequest:
        return pb.RemoveMemberRequest(**({"namespace": "commons", "email": "ada@example.org"} | changes))

    requests: dict[str, Callable[..., Any]] = {SET_MEMBER: setting, REMOVE_MEMBER: removing}
    for rpc, request in requests.items():
        yield from _named(rpc, "namespace", lambda name, request=request: request(namespace=name))  # type: ignore[misc] # bound at once
        yield from _with_request_ids(rpc, request())
        yield invalid(rpc, "no address", "FIELD_REQUIRED", "email", request(email=""))
        yield invalid(rpc, "a blank address", "FIELD_REQUIRED", "email", request(email=" \u200b"))
        too_long = request(email="a" * (limits.EMAIL_CHARACTERS + 1))
        yield invalid(rpc, "an address too long", "FIELD_TOO_LONG", "email", too_long)
        for character in _FORBIDDEN:
            name = f"U+{ord(character):04X} in the address"
            yield invalid(rpc, name, "FORBIDDEN_CHARACTER", "email", request(email=f"a{character}@example.org"))
    yield invalid(SET_MEMBER, "no role", "FIELD_REQUIRED", "role", setting(role=0))
    for value in (-(2**31), -1, 5, 2**31 - 1):
        yield invalid(SET_MEMBER, f"role {value}", "UNKNOWN_ENUM_VALUE", "role", setting(role=value))
    yield _disabled(SET_MEMBER, setting())
    yield _row(REMOVE_MEMBER, "no member", Code.NOT_FOUND, "MEMBER_NOT_FOUND", removing())


def _rows_of_traces() -> Iterator[Row]:
    """Rows of the other calls that name a namespace."""
    yield from _no_names(CREATE, "namespace", lambda name: a_contribution(namespace=name), optional=True)
    yield _not_found(CREATE, "unknown namespace", a_contribution(namespace="unknown"))
    yield from _named(PROMOTE, "to_namespace", _promotion)
    yield from _no_names(IMPORT, "namespace", _import, optional=True)
    yield _not_found(IMPORT, "unknown namespace", _import("unknown"))
    for field in ("statuses", "tags_any", "include_superseded"):
        value: Any = {"statuses": [1], "tags_any": ["python"], "include_superseded": True}[field]
        request = _watch(trace_filter_pb2.TraceFilter(**{field: value}))
        yield invalid(WATCH, f"filter with {field}", "FIELD_NOT_ALLOWED", f"filter.{field}", request)
    filtered: dict[str, Callable[[trace_filter_pb2.TraceFilter], Message]] = {
        LIST: lambda having: trace_pb.ListTracesRequest(filter=having),
        SEARCH: lambda having: trace_pb.SearchTracesRequest(text="a", filter=having),
        EXPORT: lambda having: trace_export_pb2.ExportTracesRequest(filter=having),
        WATCH: _watch,
    }
    for rpc, having in filtered.items():
        for name, text in {"empty": "", **NO_NAMES}.items():
            request = having(trace_filter_pb2.TraceFilter(namespaces=["commons", text]))
            reason = "INVALID_NAMESPACE" if text else "FIELD_REQUIRED"
            yield invalid(rpc, f"namespace {name}", reason, "filter.namespaces[1]", request)
        many = having(trace_filter_pb2.TraceFilter(namespaces=["commons"] * (limits.FILTER_VALUES + 1)))
        yield invalid(rpc, "too many namespaces", "FIELD_TOO_LONG", "filter.namespaces", many)
        unknown = having(trace_filter_pb2.TraceFilter(namespaces=["commons", "unknown"]))
        yield _not_found(rpc, "unknown namespace", unknown)


@dataclass(kw_only=True)
class StoredNamespaces:
    """Namespaces of a server that asks for keys, a trace in the private `team`, and keys of users by their roles there.

    `bound` is a key of the owner's that is bound to two namespaces. `full` has as many members as it may have.
    """

    trace: str = UNKNOWN_ID
    own_copy: str = UNKNOWN_ID
    admin: Metadata = ()
    owner: Metadata = ()
    reader: Metadata = ()
    writer: Metadata = ()
    stranger: Metadata = ()
    bound: Metadata = ()


async def store_namespaces(server: RunningServer, url: str) -> StoredNamespaces:
    """Stores them in a database of the test's own, where it enables namespaces."""
    await enabling.enable(url)
    stored, namespaces = StoredNamespaces(), NamespaceServiceStub(server.channel)
    agent = {*OF_AN_AGENT, Scope.NAMESPACES_WRITE}
    for name in ("owner", "reader", "writer", "stranger"):
        setattr(stored, name, bearer(await a_key(server.database, f"{name}@example.org", agent)))
    stored.admin = bearer(await a_key(server.database, "admin@example.org"))
    for name in ("team", "other", "full", "retired"):
        await namespaces.CreateNamespace(pb.CreateNamespaceRequest(name=name), metadata=stored.owner)
    for name in ("reader", "writer"):
        role = namespace_pb2.NamespaceRole.Value(f"NAMESPACE_ROLE_{name.upper()}")
        member = pb.SetMemberRequest(namespace="team", email=f"{name}@example.org", role=role)
        await namespaces.SetMember(member, metadata=stored.owner)
    await namespaces.DeleteNamespace(pb.DeleteNamespaceRequest(name="retired"), metadata=stored.owner)
    both = ("other", "team")
    stored.bound = bearer(await a_key(server.database, "owner@example.org", OF_AN_AGENT, namespaces=both))
    created = await server.traces.CreateTrace(a_contribution(0, namespace="team"), metadata=stored.owner)
    stored.trace = created.created.id
    promotion = trace_pb.PromoteTraceRequest(trace_id=stored.trace, to_namespace="other")
    stored.own_copy = (await server.traces.PromoteTrace(promotion, metadata=stored.owner)).created.id
    await _fill(url)
    return stored


async def _fill(url: str) -> None:
    """Fills a namespace with members, and the database with namespaces, by SQL."""
    await administer(
        url,
        "INSERT INTO users (id, email) SELECT gen_random_uuid(), 'member-' || n || '@example.org'"  # noqa: S608 - our own number
        f" FROM generate_series(2, {limits.NAMESPACE_MEMBERS}) n;"
        "INSERT INTO namespace_members (namespace_id, user_id, role)"
        " SELECT namespaces.id, users.id, 'reader' FROM namespaces, users"
        " WHERE namespaces.name = 'full' AND email LIKE 'member-%'",
    )
    await administer(
        url,
        "INSERT INTO namespaces (id, name, visibility) SELECT gen_random_uuid(), 'filling-' || n, 'private'"  # noqa: S608 - our own number
        f" FROM generate_series((SELECT count(*) + 1 FROM namespaces), {limits.NAMESPACES}) n",
    )


def namespace_conflict_rows(stored: StoredNamespaces) -> Iterator[Row]:
    """Rows of a server that asks for keys, after `store_namespaces`."""
    yield from _of_strangers(stored)
    yield from _of_weak_roles(stored)
    for name in ("team", "retired", "commons"):
        again = pb.CreateNamespaceRequest(name=name)
        yield _row(CREATE_NAMESPACE, f"{name} again", Code.ALREADY_EXISTS, "NAMESPACE_EXISTS", again, stored.stranger)
    exhausted, owner = Code.RESOURCE_EXHAUSTED, stored.owner
    one_more = pb.CreateNamespaceRequest(name="one-more")
    yield _row(CREATE_NAMESPACE, "one too many", exhausted, "TOO_MANY_NAMESPACES", one_more, owner)
    member = pb.SetMemberRequest(namespace="full", email="stranger@example.org", role=READER)
    yield _row(SET_MEMBER, "one too many", exhausted, "TOO_MANY_MEMBERS", member, owner)
    unknown = pb.SetMemberRequest(namespace="team", email="unknown@example.org", role=READER)
    yield _row(SET_MEMBER, "unknown user", Code.NOT_FOUND, "USER_NOT_FOUND", unknown, owner)
    for email in ("unknown@example.org", "stranger@example.org"):
        no_member = pb.RemoveMemberRequest(namespace="team", email=email)
        yield _row(REMOVE_MEMBER, f"{email}, no member", Code.NOT_FOUND, "MEMBER_NOT_FOUND", no_member, owner)
    last = {
        SET_MEMBER: pb.SetMemberRequest(namespace="team", email="owner@example.org", role=READER),
        REMOVE_MEMBER: pb.RemoveMemberRequest(namespace="team", email=" OWNER@example.org"),
    }
    for rpc, request in last.items():
        yield _row(rpc, "the last owner", Code.FAILED_PRECONDITION, "LAST_OWNER", request, owner)
    delete = pb.DeleteNamespaceRequest(name="team")
    yield _row(DELETE_NAMESPACE, "not empty", Code.FAILED_PRECONDITION, "NAMESPACE_NOT_EMPTY", delete, owner)
    stale = _update("description", name="team", etag="e2")
    yield _row(UPDATE_NAMESPACE, "etag", Code.ABORTED, "STALE_ETAG", stale, owner)
    same = _promotion("team", trace_id=stored.trace)
    yield _row(PROMOTE, "where it is", Code.INVALID_ARGUMENT, "FIELD_NOT_ALLOWED", same, owner, field="to_namespace")
    copy = vote_pb.CastVoteRequest(trace_id=stored.own_copy, type=vote_pb2.VOTE_TYPE_UP)
    yield _row(CAST_VOTE, "own copy", Code.FAILED_PRECONDITION, "OWN_TRACE", copy, owner)
    yield from _of_bound_keys(stored)


def _of_strangers(stored: StoredNamespaces) -> Iterator[Row]:
    """What a caller may not read fails as what does not exist."""
    for rpc, request in {
        GET_NAMESPACE: pb.GetNamespaceRequest(name="team"),
        UPDATE_NAMESPACE: _update("description", name="team"),
        DELETE_NAMESPACE: pb.DeleteNamespaceRequest(name="team"),
        SET_MEMBER: pb.SetMemberRequest(namespace="team", email="stranger@example.org", role=READER),
        REMOVE_MEMBER: pb.RemoveMemberRequest(namespace="team", email="reader@example.org"),
        LIST_MEMBERS: pb.ListMembersRequest(namespace="team"),
        CREATE: a_contribution(1, namespace="team"),
        LIST: trace_pb.ListTracesRequest(filter=trace_filter_pb2.TraceFilter(namespaces=["team"])),
        WATCH: _watch(trace_filter_pb2.TraceFilter(namespaces=["team"])),
        IMPORT: _import("team"),
    }.items():
        yield replace(_not_found(rpc, "of others", request), metadata=stored.stranger)
    for rpc, request in {
        GET: trace_pb.GetTraceRequest(trace_id=stored.trace),
        SEARCH: trace_pb.SearchTracesRequest(trace_id=stored.trace),
        DELETE: trace_pb.DeleteTraceRequest(trace_id=stored.trace),
        PROMOTE: _promotion("commons", trace_id=stored.trace),
        CAST_VOTE: vote_pb.CastVoteRequest(trace_id=stored.trace, type=vote_pb2.VOTE_TYPE_UP),
    }.items():
        yield _row(rpc, "in a namespace of others", Code.NOT_FOUND, "TRACE_NOT_FOUND", request, stored.stranger)


def _of_weak_roles(stored: StoredNamespaces) -> Iterator[Row]:
    for metadata, requests in (
        (
            stored.reader,
            {
                CREATE: a_contribution(1, namespace="team"),
                IMPORT: _import("team"),
                DELETE: trace_pb.DeleteTraceRequest(trace_id=stored.trace),
                CAST_VOTE: vote_pb.CastVoteRequest(trace_id=stored.trace, type=vote_pb2.VOTE_TYPE_UP),
            },
        ),
        (
            stored.writer,
            {
                UPDATE_NAMESPACE: _update("description", name="team"),
                DELETE_NAMESPACE: pb.DeleteNamespaceRequest(name="team"),
                SET_MEMBER: pb.SetMemberRequest(namespace="team", email="writer@example.org", role=READER),
                REMOVE_MEMBER: pb.RemoveMemberRequest(namespace="team", email="reader@example.org"),
                LIST_MEMBERS: pb.ListMembersRequest(namespace="team"),
            },
        ),
    ):
        for rpc, request in requests.items():
            yield _row(rpc, "of a weak role", Code.PERMISSION_DENIED, "NAMESPACE_FORBIDDEN", request, metadata)
    # Nobody who moderates nothing comes as far as a trace.
    for rpc, request in {
        HIDE: trace_pb.HideTraceRequest(trace_id=stored.trace, reason="spam"),
        UNHIDE: trace_pb.UnhideTraceRequest(trace_id=stored.trace),
        PURGE: trace_pb.PurgeTraceRequest(trace_id=stored.trace),
    }.items():
        yield _row(rpc, "of no moderator", Code.PERMISSION_DENIED, "SCOPE_MISSING", request, stored.writer)


def _of_bound_keys(stored: StoredNamespaces) -> Iterator[Row]:
    required = _row(
        CREATE, "bound to several", Code.INVALID_ARGUMENT, "FIELD_REQUIRED", a_contribution(1), stored.bound
    )
    yield replace(required, field="namespace")
    outside = a_contribution(1, namespace="commons")
    yield replace(_not_found(CREATE, "outside of what the key is bound to", outside), metadata=stored.bound)
    create = pb.CreateNamespaceRequest(name="more")
    yield _row(CREATE_NAMESPACE, "bound", Code.PERMISSION_DENIED, "SCOPE_MISSING", create, stored.bound)


def _named(rpc: str, field: str, request: Callable[[str], Message]) -> Iterator[Row]:
    yield from _no_names(rpc, field, request)
    yield _not_found(rpc, "unknown namespace", request("unknown"))
    yield _not_found(rpc, "longest name", request("a" * 63))


def _no_names(rpc: str, field: str, request: Callable[[str], Message], *, optional: bool = False) -> Iterator[Row]:
    if not optional:
        yield invalid(rpc, f"{field} empty", "FIELD_REQUIRED", field, request(""))
    for name, text in NO_NAMES.items():
        yield invalid(rpc, f"{field} {name}", "INVALID_NAMESPACE", field, request(text))


def _with_request_ids(rpc: str, valid: Any) -> Iterator[Row]:
    for name, value in NO_IDS.items():
        request = type(valid)(request_id=value)
        request.MergeFrom(valid)
        yield invalid(rpc, f"request id with {name}", "MALFORMED_ID", "request_id", request)


def _pages(rpc: str, tokens: TokenField[str], no_positions: dict[str, Any], valid: Any) -> Iterator[Row]:
    def changed(**fields: Any) -> Message:
        request: Message = type(valid)(**fields)
        request.MergeFrom(valid)
        return request

    for size in (-1, -(2**31)):
        yield invalid(rpc, f"page_size {size}", "FIELD_OUT_OF_RANGE", "page_size", changed(page_size=size))
    forging: TokenField[Any] = replace(tokens, pack=lambda where: where)
    given = {f"of {name}": token for name, token in _NO_TOKENS.items()}
    given |= {f"that holds {name}": forging.token(valid, where) for name, where in no_positions.items()}
    for name, token in given.items():
        yield invalid(rpc, f"token {name}", "INVALID_PAGE_TOKEN", "page_token", changed(page_token=token))


def _descriptions() -> dict[str, tuple[str, str]]:
    too_long = "é" * (limits.NAMESPACE_DESCRIPTION_CHARACTERS + 1)
    return {"too long": ("FIELD_TOO_LONG", too_long)} | {
        f"with U+{ord(character):04X}": ("FORBIDDEN_CHARACTER", f"a{character}b") for character in _FORBIDDEN
    }


def _update(*paths: str, name: str = "unknown", etag: str = "", **values: Any) -> pb.UpdateNamespaceRequest:
    changed = namespace_pb2.Namespace(name=name, **values)
    return pb.UpdateNamespaceRequest(namespace=changed, update_mask=FieldMask(paths=paths), etag=etag)


def _promotion(to_namespace: str, *, trace_id: str = UNKNOWN_ID) -> trace_pb.PromoteTraceRequest:
    return trace_pb.PromoteTraceRequest(trace_id=trace_id, to_namespace=to_namespace)


def _import(namespace: str) -> trace_import_pb2.ImportTracesRequest:
    request = message([a_record()], import_id=UNKNOWN_ID)
    request.namespace = namespace
    return request


def _watch(having: trace_filter_pb2.TraceFilter) -> Message:
    return trace_event_pb2.WatchTracesRequest(filter=having)


def _row(
    rpc: str, name: str, code: Any, reason: str, request: Message, metadata: Metadata = (), *, field: str = ""
) -> Row:
    return Row(name=name, rpc=rpc, request=request, code=code, reason=reason, metadata=metadata, field=field)


def _not_found(rpc: str, name: str, request: Message) -> Row:
    return _row(rpc, name, Code.NOT_FOUND, "NAMESPACE_NOT_FOUND", request)


def _disabled(rpc: str, request: Message) -> Row:
    return _row(rpc, "not enabled", Code.FAILED_PRECONDITION, "NAMESPACES_DISABLED", request)

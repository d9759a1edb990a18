"""The synchronous client on a channel of grpcio-testing: its requests, and its handling of responses."""

import inspect
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import grpc
import grpc_testing
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from commontrace import client as asynchronous
from commontrace.client import CallOptions, InvalidArgument, Unavailable, sync
from commontrace.v1 import (
    namespace_pb2,
    namespace_service_pb2,
    tag_service_pb2,
    trace_pb2,
    trace_service_pb2,
    vote_pb2,
    vote_service_pb2,
)
from commontrace.v1 import trace_service_pb2 as pb

TRACE_ID = "123e4567-e89b-12d3-a456-426614174000"
SERVICES = {
    name: service
    for contract in (trace_service_pb2, vote_service_pb2, tag_service_pb2, namespace_service_pb2)
    for name, service in contract.DESCRIPTOR.services_by_name.items()
}
SECONDS = 10.0
OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE
WRITES: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "contribute": ("TraceService", "CreateTrace", lambda client, **id_: client.contribute("t", "c", "s", **id_)),
    "update": ("TraceService", "UpdateTrace", lambda client, **id_: client.update(TRACE_ID, title="t", **id_)),
    "delete": ("TraceService", "DeleteTrace", lambda client, **id_: client.delete(TRACE_ID, **id_)),
    "undelete": ("TraceService", "UndeleteTrace", lambda client, **id_: client.undelete(TRACE_ID, **id_)),
    "hide": ("TraceService", "HideTrace", lambda client, **id_: client.hide(TRACE_ID, "r", **id_)),
    "unhide": ("TraceService", "UnhideTrace", lambda client, **id_: client.unhide(TRACE_ID, **id_)),
    "purge": ("TraceService", "PurgeTrace", lambda client, **id_: client.purge(TRACE_ID, **id_)),
    "vote": ("VoteService", "CastVote", lambda client, **id_: client.vote(TRACE_ID, "up", **id_)),
    "retract_vote": ("VoteService", "RetractVote", lambda client, **id_: client.retract_vote(TRACE_ID, **id_)),
    "update_tag": ("TagService", "UpdateTag", lambda client, **id_: client.update_tag("a", is_curated=True, **id_)),
    "merge_tags": ("TagService", "MergeTags", lambda client, **id_: client.merge_tags("a", "b", **id_)),
    "promote_trace": ("TraceService", "PromoteTrace", lambda client, **id_: client.promote_trace(TRACE_ID, "b", **id_)),
    "create_namespace": (
        "NamespaceService",
        "CreateNamespace",
        lambda client, **id_: client.create_namespace("a", **id_),
    ),
    "update_namespace": (
        "NamespaceService",
        "UpdateNamespace",
        lambda client, **id_: client.update_namespace("a", description="d", **id_),
    ),
    "delete_namespace": (
        "NamespaceService",
        "DeleteNamespace",
        lambda client, **id_: client.delete_namespace("a", **id_),
    ),
    "set_member": (
        "NamespaceService",
        "SetMember",
        lambda client, **id_: client.set_member("a", "bob@example.org", "reader", **id_),
    ),
    "remove_member": (
        "NamespaceService",
        "RemoveMember",
        lambda client, **id_: client.remove_member("a", "bob@example.org", **id_),
    ),
}


class Server:
    """The server side of the channel: answers one call after the other, while a thread makes them."""

    def __init__(self) -> None:
        self.channel = grpc_testing.channel(SERVICES.values(), grpc_testing.strict_real_time())
        self.client = sync.Client(self.channel, CallOptions(user="ada@example.org", deadline=7))
        self._threads = ThreadPoolExecutor(1)

    def call(self, ask: Callable[[sync.Client], Any]) -> "Future[Any]":
        return self._threads.submit(ask, self.client)

    def take(self, service: str, method: str) -> tuple[Any, Any, Any]:
        """Returns metadata, request and handle of the next call of a method."""
        described = SERVICES[service].methods_by_name[method]
        take = self.channel.take_unary_stream if described.server_streaming else self.channel.take_unary_unary
        metadata, request, rpc = take(described)
        return metadata, request, rpc

    def answer(self, service: str, method: str, response: Message) -> Any:
        """Answers the next call of a method and returns its request."""
        metadata, request, rpc = self.take(service, method)
        assert ("x-commontrace-user", "ada@example.org") in metadata
        rpc.terminate(response, (), OK, "")
        return request

    def close(self) -> None:
        self._threads.shutdown()


class Searching:
    """A streaming search in progress."""

    def __init__(self, server: Server, **options: Any) -> None:
        self.hits: list[pb.SearchHit] = []
        self._server = server
        self._arrived: queue.Queue[pb.SearchHit] = queue.Queue()
        self._summary = server.call(lambda client: self._read(client.search_stream("a question", **options)))

    def _read(self, stream: sync.SearchStream) -> pb.SearchSummary:
        for hit in stream:
            self._arrived.put(hit)
        return stream.summary

    def receive(self, message: pb.SearchTracesResponse, code: grpc.StatusCode, trailers: Any = ()) -> Any:
        """Answers the next call of the search with a message, and after its hits with a code; returns the request."""
        _, request, rpc = self._server.take("TraceService", "SearchTraces")
        rpc.send_response(message)
        self.hits.extend([self._arrived.get(timeout=SECONDS) for _ in message.hits])
        rpc.terminate(trailers, code, "as asked for")
        return request

    def summary(self) -> pb.SearchSummary:
        summary: pb.SearchSummary = self._summary.result(SECONDS)
        return summary


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def a_hit(number: int) -> pb.SearchHit:
    return pb.SearchHit(trace=trace_pb2.Trace(id=str(UUID(int=number))), similarity=1 - number / 100)


def a_message(*numbers: int, behind: str = "", **fields: Any) -> pb.SearchTracesResponse:
    return pb.SearchTracesResponse(hits=map(a_hit, numbers), resume_token=behind, **fields)


def a_summary(hit_count: int, reason: pb.StopReason.ValueType = pb.STOP_REASON_LIMIT) -> pb.SearchSummary:
    return pb.SearchSummary(stop_reason=reason, hit_count=hit_count)


def test_get(server: Server) -> None:
    getting = server.call(lambda client: client.get(UUID(TRACE_ID), full=False))
    trace = trace_pb2.Trace(id=TRACE_ID, title="A title")
    request = server.answer("TraceService", "GetTrace", pb.GetTraceResponse(trace=trace))
    assert request == pb.GetTraceRequest(trace_id=TRACE_ID, view=trace_pb2.TRACE_VIEW_BASIC)
    assert getting.result(SECONDS) == trace


@pytest.mark.parametrize("name", WRITES)
def test_every_write_carries_a_request_id(server: Server, name: str) -> None:
    service, method, write = WRITES[name]
    response = type(getattr(_contract_of(service), f"{method}Response")())()
    ids = set()
    for _ in range(2):
        writing = server.call(write)
        ids.add(UUID(server.answer(service, method, response).request_id))
        writing.result(SECONDS)
    assert len(ids) == 2
    given = uuid4()
    writing = server.call(lambda client: write(client, request_id=given))
    assert server.answer(service, method, response).request_id == str(given)
    writing.result(SECONDS)


def _contract_of(service: str) -> Any:
    contracts = {
        "TraceService": trace_service_pb2,
        "VoteService": vote_service_pb2,
        "TagService": tag_service_pb2,
        "NamespaceService": namespace_service_pb2,
    }
    return contracts[service]


def test_only_what_is_given_is_changed_in_a_namespace(server: Server) -> None:
    for given, paths in (
        ({"description": ""}, ["description"]),
        ({"visibility": "open"}, ["visibility"]),
        ({"description": "d", "visibility": "private", "etag": "e"}, ["description", "visibility"]),
    ):
        updating = server.call(partial(_update_team, changes=given))
        response = namespace_service_pb2.UpdateNamespaceResponse(namespace=namespace_pb2.Namespace(name="team"))
        request = server.answer("NamespaceService", "UpdateNamespace", response)
        changed = request.namespace
        assert (changed.name, changed.description, request.etag) == (
            "team",
            given.get("description", ""),
            given.get("etag", ""),
        )
        visibility = given.get("visibility", "unspecified").upper()
        assert namespace_pb2.NamespaceVisibility.Name(changed.visibility) == f"NAMESPACE_VISIBILITY_{visibility}"
        assert list(request.update_mask.paths) == paths
        assert updating.result(SECONDS).name == "team"


def test_a_contribution_names_its_namespace(server: Server) -> None:
    for namespace in ("", "commons", "team", "web"):
        writing = server.call(partial(_contribute_to, name=namespace))
        if namespace == "team":
            # Once, so that an older server is sent nothing.
            asked = namespace_service_pb2.GetNamespaceResponse()
            assert server.answer("NamespaceService", "GetNamespace", asked).name == "team"
        assert server.answer("TraceService", "CreateTrace", pb.CreateTraceResponse()).namespace == namespace
        writing.result(SECONDS)


def _update_team(client: sync.Client, changes: dict[str, Any]) -> namespace_pb2.Namespace:
    return client.update_namespace("team", **changes)


def _contribute_to(client: sync.Client, name: str) -> pb.CreateTraceResponse:
    return client.contribute("t", "c", "s", namespace=name)


def test_pages_of_namespaces_and_members(server: Server) -> None:
    listing = server.call(lambda client: [found.name for found in client.list_namespaces(page_size=1)])
    for token, name, next_token in (("", "a", "x"), ("x", "b", "")):
        page = namespace_service_pb2.ListNamespacesResponse(
            namespaces=[namespace_pb2.Namespace(name=name)], next_page_token=next_token
        )
        request = server.answer("NamespaceService", "ListNamespaces", page)
        assert (request.page_size, request.page_token) == (1, token)
    assert listing.result(SECONDS) == ["a", "b"]
    listing = server.call(lambda client: [found.email for found in client.list_members("a")])
    for token, email, next_token in (("", "ada@example.org", "x"), ("x", "bob@example.org", "")):
        members = namespace_service_pb2.ListMembersResponse(
            members=[namespace_pb2.NamespaceMember(email=email)], next_page_token=next_token
        )
        asked = server.answer("NamespaceService", "ListMembers", members)
        assert (asked.namespace, asked.page_token) == ("a", token)
    assert listing.result(SECONDS) == ["ada@example.org", "bob@example.org"]


def test_a_search_of_two_messages(server: Server) -> None:
    searching = server.call(
        lambda client: client.search("a question", limit=3, min_similarity=0.5, min_probability=0.1, exact=True)
    )
    _, request, rpc = server.take("TraceService", "SearchTraces")
    wanted = pb.SearchTracesRequest(text="a question", limit=3, min_similarity=0.5, min_probability=0.1, exact=True)
    wanted.view, wanted.ranking = trace_pb2.TRACE_VIEW_FULL, pb.RANKING_BEST
    assert request == wanted
    rpc.send_response(a_message(1, 2, behind="a"))
    rpc.send_response(a_message(3, summary=a_summary(3)))
    rpc.terminate((), OK, "")
    hits = searching.result(SECONDS)
    assert hits == [a_hit(1), a_hit(2), a_hit(3)]
    assert hits.summary == a_summary(3)


def test_a_search_goes_on_where_it_broke(server: Server) -> None:
    searching = Searching(server, limit=5, batch_size=2)
    asked = []
    for message in (a_message(1, 2, behind="a"), a_message(3, behind="b"), a_message(4, behind="c")):
        request = searching.receive(message, UNAVAILABLE)
        asked.append((request.resume_token, request.limit))
    request = searching.receive(a_message(5, summary=a_summary(1)), OK)
    asked.append((request.resume_token, request.limit))
    assert searching.summary() == a_summary(5)
    assert searching.hits == [a_hit(number) for number in range(1, 6)]
    assert asked == [("", 5), ("a", 3), ("b", 2), ("c", 1)]


def test_a_search_that_lacks_only_its_summary_gets_it(server: Server) -> None:
    searching = Searching(server, limit=2)
    searching.receive(a_message(1, 2, behind="a"), UNAVAILABLE)
    _, request, rpc = server.take("TraceService", "SearchTraces")
    assert (request.resume_token, request.limit) == ("a", 1)
    rpc.send_response(a_message(3, summary=a_summary(1, pb.STOP_REASON_EXHAUSTED)))
    rpc.terminate((), OK, "")
    assert searching.summary() == a_summary(2)
    assert searching.hits == [a_hit(1), a_hit(2)]


def test_a_limit_of_0_is_the_default(server: Server) -> None:
    searching = Searching(server, limit=0)
    assert searching.receive(a_message(*range(7), behind="a"), grpc.StatusCode.CANCELLED).limit == 0
    assert searching.receive(a_message(7, summary=a_summary(1, pb.STOP_REASON_EXHAUSTED)), OK).limit == 3
    assert searching.summary() == a_summary(8, pb.STOP_REASON_EXHAUSTED)


def test_a_failure_behind_the_summary_is_none(server: Server) -> None:
    searching = Searching(server, limit=1)
    searching.receive(a_message(1, summary=a_summary(1)), grpc.StatusCode.DEADLINE_EXCEEDED)
    assert searching.summary() == a_summary(1)


def test_other_failures_end_a_search(server: Server) -> None:
    searching = Searching(server)
    searching.receive(a_message(1, behind="a"), grpc.StatusCode.INTERNAL)
    with pytest.raises(sync.CallFailed, match="as asked for"):
        searching.summary()


def test_a_search_left_early_is_cancelled(server: Server) -> None:
    def leave(client: sync.Client) -> None:
        with client.search_stream("a question") as stream:
            next(stream)

    leaving = server.call(leave)
    _, _, rpc = server.take("TraceService", "SearchTraces")
    rpc.send_response(a_message(1, 2, behind="a"))
    rpc.cancelled()
    leaving.result(SECONDS)


def test_what_never_began_is_not_gone_on_with(server: Server) -> None:
    searching = server.call(lambda client: client.search("a question"))
    _, _, rpc = server.take("TraceService", "SearchTraces")
    rpc.terminate((), UNAVAILABLE, "nobody there")
    with pytest.raises(Unavailable, match=r"no CommonTrace server answers .*nobody there"):
        searching.result(SECONDS)


def test_a_failure_with_details(server: Server) -> None:
    delay = Duration()
    delay.FromMilliseconds(200)
    violation = error_details_pb2.BadRequest.FieldViolation(field="title", description="title is required")
    details = [
        error_details_pb2.ErrorInfo(reason="FIELD_REQUIRED", domain="commontrace", metadata={"field": "title"}),
        error_details_pb2.BadRequest(field_violations=[violation]),
        error_details_pb2.RetryInfo(retry_delay=delay),
    ]
    packed = [AnyMessage() for _ in details]
    for message, detail in zip(packed, details, strict=True):
        message.Pack(detail)
    status = status_pb2.Status(code=3, message="FIELD_REQUIRED: title is required", details=packed)
    contributing = server.call(lambda client: client.contribute("", "A problem", "A cure"))
    _, _, rpc = server.take("TraceService", "CreateTrace")
    trailers = (("grpc-status-details-bin", status.SerializeToString()),)
    rpc.terminate(pb.CreateTraceResponse(), trailers, grpc.StatusCode.INVALID_ARGUMENT, status.message)
    with pytest.raises(InvalidArgument, match="FIELD_REQUIRED: title is required") as failure:
        contributing.result(SECONDS)
    failed = failure.value
    assert (failed.reason, failed.metadata, failed.retry_after) == ("FIELD_REQUIRED", {"field": "title"}, 0.2)
    assert failed.violations == {"title": "title is required"}


def test_pages(server: Server) -> None:
    listing = server.call(lambda client: [vote.comment for vote in client.votes(TRACE_ID)])
    sent = [("", "1", "x"), ("x", "2", "y"), ("y", "3", "")]
    for token, comment, next_token in sent:
        page = vote_service_pb2.ListVotesResponse(votes=[vote_pb2.Vote(comment=comment)], next_page_token=next_token)
        request = server.answer("VoteService", "ListVotes", page)
        assert (request.trace_id, request.page_token) == (TRACE_ID, token)
    assert listing.result(SECONDS) == ["1", "2", "3"]


def test_both_clients_have_the_same_methods() -> None:
    def signatures(client: type) -> dict[str, list[inspect.Parameter]]:
        # Not by annotation: what the one may iterate over in two ways, the other does in one.
        return {
            name: [parameter.replace(annotation=None) for parameter in inspect.signature(method).parameters.values()]
            for name, method in inspect.getmembers(client, inspect.isfunction)
            if not name.startswith("_")
        }

    assert signatures(sync.Client) == signatures(asynchronous.Client)
    assert not [name for name, method in inspect.getmembers(sync.Client) if inspect.iscoroutinefunction(method)]

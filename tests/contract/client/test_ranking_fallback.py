"""The client asks a server that does not know RANKING_BEST once more, and remembers it (ADR 0059)."""

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from commontrace.client import InvalidArgument, sync
from commontrace.v1 import trace_service_pb2 as pb
from tests.contract.client.test_client_sync_calls import SECONDS, Searching, Server, a_hit, a_message, a_summary

REFUSAL, INVALID = "as asked for", grpc.StatusCode.INVALID_ARGUMENT
BEST, HYBRID = pb.RANKING_BEST, pb.RANKING_HYBRID


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def searching(server: Server, **options: Any) -> "Future[sync.SearchHits]":
    return server.call(lambda client: client.search("a question", **options))


def trailers_about(*fields: str) -> Any:
    """The metadata with which a server refuses fields."""
    violations = [error_details_pb2.BadRequest.FieldViolation(field=field, description="is 4") for field in fields]
    packed = [AnyMessage(), AnyMessage()]
    packed[0].Pack(error_details_pb2.ErrorInfo(reason="UNKNOWN_ENUM_VALUE", metadata={"field": fields[0]}))
    packed[1].Pack(error_details_pb2.BadRequest(field_violations=violations))
    status = status_pb2.Status(code=3, message=REFUSAL, details=packed)
    return (("grpc-status-details-bin", status.SerializeToString()),)


def refused(server: Server, *fields: str) -> Any:
    """Refuses fields of the next search; returns its ranking."""
    _, request, rpc = server.take("TraceService", "SearchTraces")
    rpc.terminate(trailers_about(*fields), INVALID, REFUSAL)
    return request.ranking


def answered(server: Server) -> Any:
    """Answers the next search with a hit; returns its ranking."""
    _, request, rpc = server.take("TraceService", "SearchTraces")
    rpc.send_response(a_message(1, summary=a_summary(1)))
    rpc.terminate((), grpc.StatusCode.OK, "")
    return request.ranking


def test_a_refused_default_is_asked_again_and_remembered(server: Server) -> None:
    found = searching(server, limit=1)
    assert (refused(server, "ranking"), answered(server)) == (BEST, HYBRID)
    assert found.result(SECONDS) == [a_hit(1)]
    found = server.call(lambda client: client.within(3).search("another", limit=1))
    assert answered(server) == HYBRID
    found.result(SECONDS)
    found = searching(server, limit=101)
    assert answered(server) == pb.RANKING_COSINE
    found.result(SECONDS)


def test_a_ranking_that_was_asked_for_is_never_replaced(server: Server) -> None:
    for _ in range(2):
        found = searching(server, ranking="best")
        assert refused(server, "ranking") == BEST
        with pytest.raises(InvalidArgument) as failure:
            found.result(SECONDS)
        assert failure.value.violations.keys() == {"ranking"}
    found = searching(server, limit=1)
    assert answered(server) == BEST
    found.result(SECONDS)


def test_it_is_asked_once_more_and_no_more(server: Server) -> None:
    found = searching(server)
    assert (refused(server, "ranking"), refused(server, "ranking")) == (BEST, HYBRID)
    with pytest.raises(InvalidArgument):
        found.result(SECONDS)


def test_other_invalid_fields_are_reported(server: Server) -> None:
    found = searching(server, limit=-1)
    assert refused(server, "limit") == BEST
    with pytest.raises(InvalidArgument):
        found.result(SECONDS)
    found = searching(server, limit=-1)
    assert (refused(server, "limit", "ranking"), refused(server, "limit")) == (BEST, HYBRID)
    with pytest.raises(InvalidArgument) as failure:
        found.result(SECONDS)
    assert failure.value.violations.keys() == {"limit"}


def test_a_stream_that_has_begun_keeps_its_ranking(server: Server) -> None:
    begun = Searching(server)
    request = begun.receive(a_message(1, behind="a"), INVALID, trailers_about("ranking"))
    assert request.ranking == BEST
    with pytest.raises(InvalidArgument) as failure:
        begun.summary()
    assert failure.value.violations.keys() == {"ranking"}
    found = searching(server, limit=1)
    assert answered(server) == BEST
    found.result(SECONDS)

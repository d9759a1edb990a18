import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct
from structlog.testing import capture_logs

from commontrace.storage.embedded_postgres import instance as embedded_postgres
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from commontrace.v1.vote_service_pb2 import CastVoteRequest
from tests.conftest import RunningServer, administer
from tests.contract.calls import METHODS, call
from tests.contract.errors.error_row import SEARCH
from tests.faults.server_process import ServerProcess
from tests.support.builders import a_contribution, search

PRIVATE = "xyzzy-that-nobody-should-read"
NUMBER = 0.734592187
ADA = (("x-commontrace-user", "Ada@example.org"),)


async def test_one_line_a_call_and_never_a_text(server: RunningServer) -> None:
    with capture_logs() as lines:
        request = a_contribution(title=PRIVATE, context=PRIVATE, solution=PRIVATE, tags=[PRIVATE], agent_model=PRIVATE)
        request.metadata.update({PRIVATE: PRIVATE})
        await server.traces.CreateTrace(request, metadata=ADA)
        await search(server.traces, text=PRIVATE)
        with pytest.raises(grpc.aio.AioRpcError):
            await server.traces.CreateTrace(a_contribution(title=f"{PRIVATE}\0"))
        await until_logged(lines, 3)
        with pytest.raises(grpc.aio.AioRpcError):
            await server.traces.GetServiceInfo(pb.GetServiceInfoRequest(), metadata=(("x-commontrace-user", PRIVATE),))
        await until_logged(lines, 4)
    logged = [(line["event"], line["code"], line.get("reason"), line.get("caller")) for line in lines]
    assert logged == [
        ("TraceService/CreateTrace", "OK", None, "ada@example.org"),
        ("TraceService/SearchTraces", "OK", None, "local@commontrace.dev"),
        ("TraceService/CreateTrace", "INVALID_ARGUMENT", "FORBIDDEN_CHARACTER", "local@commontrace.dev"),
        ("TraceService/GetServiceInfo", "UNAUTHENTICATED", "INVALID_USER", None),
    ]
    assert PRIVATE not in str(lines)
    assert len({line["call_id"] for line in lines}) == len(lines)


async def test_a_call_has_the_name_that_its_caller_gives_it(server: RunningServer) -> None:
    taken = [["turn-17/search.2"], ["x" * 64]]
    for sent in [*taken, ["x" * 65], ["two words"], [""], ["one", "two"], []]:
        metadata = tuple(("x-request-id", name) for name in sent)
        with capture_logs() as lines:
            well = server.traces.GetServiceInfo(pb.GetServiceInfoRequest(), metadata=metadata)
            await well
            ill = server.traces.GetTrace(pb.GetTraceRequest(trace_id="none"), metadata=metadata)
            with pytest.raises(grpc.aio.AioRpcError):
                await ill
            stream = server.traces.SearchTraces(pb.SearchTracesRequest(text="anything"), metadata=metadata)
            async for _ in stream:
                pass
            await until_logged(lines, 3)
        logged = [line["call_id"] for line in lines]
        returned = [dict(await ended.trailing_metadata())["x-request-id"] for ended in (well, ill, stream)]
        assert returned == logged
        assert (logged == 3 * sent) if sent in taken else ({len(name) for name in logged} == {32})


async def test_a_call_that_its_caller_leaves_is_logged_as_cancelled(server: RunningServer) -> None:
    with capture_logs() as lines:
        call = server.traces.CreateTrace(a_contribution(context="word " * 5000))
        await asyncio.sleep(0.03)
        call.cancel()
        await until_logged(lines, 1)
    assert [line["code"] for line in lines] == ["CANCELLED"]


async def test_no_field_of_any_message_reaches_the_log(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, LOG_LEVEL="debug", EMBEDDER="lexical") as server:
        url = embedded_postgres.attach(server.data_dir)
        assert url is not None
        # An error that no code of ours expects: the driver's message repeats the whole row.
        await administer(url, f"ALTER TABLE traces ADD CONSTRAINT unforeseen CHECK (agent_model <> '{PRIVATE}')")
        hidden = (("x-private", PRIVATE), ("x-request-id", f"{PRIVATE} {PRIVATE}"))
        async with grpc.aio.insecure_channel(server.address) as channel:
            for rpc, method in METHODS.items():
                for message in filled(method.input_type):
                    await call(channel, rpc, message.SerializeToString(), hidden)
            traces = TraceServiceStub(channel)
            await call(channel, SEARCH, b"", (("authorization", f"Bearer {PRIVATE}"),))
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await traces.CreateTrace(a_contribution(solution=PRIVATE, agent_model=PRIVATE), metadata=hidden)
            assert failed.value.code() is grpc.StatusCode.INTERNAL
            created = (await traces.CreateTrace(a_contribution(title=PRIVATE, tags=[PRIVATE]))).created
            await search(traces, text=PRIVATE, ranking=pb.RANKING_HYBRID, filter={"tags_all": [PRIVATE]})
            vote = {"trace_id": created.id, "type": "VOTE_TYPE_UP", "comment": PRIVATE}
            await call(
                channel, "/commontrace.v1.VoteService/CastVote", ParseDict(vote, CastVoteRequest()).SerializeToString()
            )
        said = server.stderr
    assert len([line for line in said.splitlines() if '"call_id"' in line]) > len(METHODS)
    assert "sqlstate=23514 constraint_name=unforeseen" in said
    assert [line for line in said.splitlines() if PRIVATE in line or str(NUMBER) in line] == []
    assert [line for line in said.splitlines() if not line.startswith("{")] == []


def filled(descriptor: Descriptor, levels: int = 4) -> Iterator[Message]:
    """Messages with private text in every field, each alternative of a oneof in one of them."""
    if descriptor.full_name == Struct.DESCRIPTOR.full_name:
        yield ParseDict({PRIVATE: PRIVATE}, Struct())
        return
    most = max((len(group.fields) for group in descriptor.oneofs), default=1)
    for choice in range(most):
        message = GetMessageClass(descriptor)()
        left_out = {
            field.name
            for group in descriptor.oneofs
            for field in group.fields
            if field is not group.fields[choice % len(group.fields)]
        }
        for field in descriptor.fields:
            if field.name not in left_out and (levels or field.type != FieldDescriptor.TYPE_MESSAGE):
                values = private_values(field, levels)
                if field.is_repeated:
                    getattr(message, field.name).extend(values)
                elif field.message_type is not None:
                    getattr(message, field.name).CopyFrom(values[0])
                else:
                    setattr(message, field.name, values[0])
        yield message


def private_values(field: FieldDescriptor, levels: int) -> list[Any]:
    match field.type:
        case FieldDescriptor.TYPE_MESSAGE:
            assert field.message_type is not None
            return list(filled(field.message_type, levels - 1))
        case FieldDescriptor.TYPE_STRING:
            return [PRIVATE]
        case FieldDescriptor.TYPE_BYTES:
            return [PRIVATE.encode()]
        case FieldDescriptor.TYPE_DOUBLE | FieldDescriptor.TYPE_FLOAT:
            return [NUMBER]
        case _:
            return [1]


async def until_logged(lines: Sequence[object], count: int) -> None:
    """Waits for the log: a caller may see a failure before."""
    async with asyncio.timeout(5):
        while len(lines) < count:  # noqa: ASYNC110 - the server's event is not ours
            await asyncio.sleep(0.01)

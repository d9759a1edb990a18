from google.protobuf.descriptor_pool import Default

import commontrace
from commontrace.domain import limits
from commontrace.embeddings.embedder import Embedder
from commontrace.rpc import scopes
from commontrace.v1 import options_pb2, trace_service_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer
from tests.support.builders import a_contribution


async def test_describes_the_server_and_the_caller(server: RunningServer, embedder: Embedder) -> None:
    info = await server.traces.GetServiceInfo(pb.GetServiceInfoRequest())
    assert info.version == commontrace.__version__
    model = info.embedding_model
    assert (model.id, model.version, model.dimensions, model.is_lexical) == (
        embedder.model_id,
        embedder.model_version,
        384,
        False,
    )
    assert info.caller.email == "local@commontrace.dev"
    assert info.caller.user_id == ""
    assert set(info.caller.scopes) == set(options_pb2.Scope.values()) - {options_pb2.SCOPE_UNSPECIFIED}


async def test_every_limit_is_told(server: RunningServer) -> None:
    told = (await server.traces.GetServiceInfo(pb.GetServiceInfoRequest())).limits
    for field in told.DESCRIPTOR.fields:
        assert getattr(told, field.name) == getattr(limits, field.name.upper())


async def test_the_caller_has_an_id_after_the_first_write(server: RunningServer) -> None:
    ada = (("x-commontrace-user", "ada@example.org"),)
    created = (await server.traces.CreateTrace(a_contribution(), metadata=ada)).created
    info = await server.traces.GetServiceInfo(pb.GetServiceInfoRequest(), metadata=ada)
    assert (info.caller.email, info.caller.user_id) == ("ada@example.org", created.contributor_id)


def test_every_rpc_declares_scope_and_idempotency() -> None:
    files = [Default().FindFileByName(name) for name in ("commontrace/v1/trace_service.proto",)]
    methods = [method for file in files for service in file.services_by_name.values() for method in service.methods]
    assert set(scopes.required_scopes(*files)) == {f"/{m.containing_service.full_name}/{m.name}" for m in methods}
    assert all(method.GetOptions().HasField("idempotency_level") for method in methods)
    assert trace_service_pb2.DESCRIPTOR in files

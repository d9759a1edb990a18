"""Error rows for secrets in requests, by each field whose text is stored."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.struct_pb2 import Struct

from commontrace.v1 import trace_service_pb2 as pb
from tests.contract.errors.error_row import CREATE, Row, invalid
from tests.support.planted_secrets import planted
from tests.support.secret_holders import holders, tag_holders

# One that would be a tag, one that is too long for a tag, one with signs that no tag has.
_AS_TAGS = ("github-token", "pypi-token", "url-password")


def secret_rows() -> Iterator[Row]:
    # It fits into every field, the shortest of which takes 50 characters.
    for rpc, field, request in holders(planted("github-token", 0)):
        yield invalid(rpc, f"a secret in {field}", "SECRET_FOUND", field, request)
    for rule in _AS_TAGS:
        for rpc, field, request in tag_holders(planted(rule, 0)):
            yield invalid(rpc, f"{rule} as {field}", "SECRET_FOUND", field, request)
    name, _, value = planted("aws-secret-access-key", 0).partition(" = ")
    deep: dict[str, dict[str, Any]] = {
        "deep inside": {"k": [{"k": ["fine", planted("npm-token", 0)]}]},
        "under its name": {name: value},
    }
    for what, fields in deep.items():
        metadata = Struct()
        metadata.update(fields)
        request = pb.CreateTraceRequest(title="a", context="b", solution="c", metadata=metadata)
        yield invalid(CREATE, f"a secret {what}", "SECRET_FOUND", "metadata", request)

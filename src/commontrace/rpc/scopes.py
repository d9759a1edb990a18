"""The scope that every RPC declares in the contract."""

from typing import Any

from commontrace.v1 import options_pb2


class ScopeMissing(Exception):
    """An RPC declares no scope: nobody could say who may call it."""


def required_scopes(*files: Any) -> dict[str, options_pb2.Scope.ValueType]:
    """Returns the scope of every RPC in the file descriptors by its path, `/package.Service/Method`.

    Raises ScopeMissing.
    """
    scopes: dict[str, options_pb2.Scope.ValueType] = {}
    for file in files:
        for service in file.services_by_name.values():
            for method in service.methods:
                scope = method.GetOptions().Extensions[options_pb2.required_scope]
                if scope == options_pb2.SCOPE_UNSPECIFIED:
                    raise ScopeMissing(f"{method.full_name} declares no required_scope")
                scopes[f"/{service.full_name}/{method.name}"] = scope
    return scopes

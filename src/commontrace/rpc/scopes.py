"""Scopes of the contract: the `required_scope` of each RPC, and the translation of scopes (ADR 0027)."""

from collections.abc import Collection
from typing import Any

from commontrace.domain.scopes import Scope
from commontrace.v1 import options_pb2

_PREFIX = "SCOPE_"


class ScopeUndeclared(Exception):
    """An RPC without a `required_scope`: access to it would be undefined."""


def required_scopes(*files: Any) -> dict[str, Scope]:
    """Returns the scope of each RPC in the file descriptors, by its path `/package.Service/Method`.

    Raises ScopeUndeclared.
    """
    scopes: dict[str, Scope] = {}
    for file in files:
        for service in file.services_by_name.values():
            for method in service.methods:
                scope = method.GetOptions().Extensions[options_pb2.required_scope]
                if scope == options_pb2.SCOPE_UNSPECIFIED:
                    raise ScopeUndeclared(f"{method.full_name} declares no required_scope")
                scopes[f"/{service.full_name}/{method.name}"] = _scope(scope)
    return scopes


def moderator_scopes(*files: Any) -> dict[str, Scope]:
    """Returns the scope that is enough for moderators of a namespace, of each RPC that declares one, by its path."""
    declared = {
        f"/{service.full_name}/{method.name}": method.GetOptions().Extensions[options_pb2.required_scope_of_moderators]
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
    }
    return {path: _scope(scope) for path, scope in declared.items() if scope != options_pb2.SCOPE_UNSPECIFIED}


def scope_messages(scopes: Collection[Scope]) -> list[options_pb2.Scope.ValueType]:
    """Returns the scopes as enum values of the contract, in its order."""
    return sorted(options_pb2.Scope.Value(_PREFIX + scope.replace(":", "_").upper()) for scope in scopes)


def _scope(message: options_pb2.Scope.ValueType) -> Scope:
    return Scope(options_pb2.Scope.Name(message).removeprefix(_PREFIX).lower().replace("_", ":", 1))

"""Namespaces and their members as text for people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from commontrace.cli.output.console import print_line, print_table, standard_output, supports_tables
from commontrace.cli.output.enum_labels import role_label, visibility_label
from commontrace.cli.output.printing import format_day, format_minute, join_facts, one_line

if TYPE_CHECKING:
    from commontrace.v1 import namespace_pb2


def print_namespaces(namespaces: "Sequence[namespace_pb2.Namespace]") -> None:
    """Prints a line for each namespace: traces, name, visibility, the caller's role, description."""
    console = standard_output()
    rows = [
        (
            f"{namespace.trace_count:6}",
            one_line(namespace.name),
            visibility_label(namespace.visibility),
            role_label(namespace.my_role),
            one_line(namespace.description),
        )
        for namespace in namespaces
    ]
    if supports_tables(console):
        print_table(console, ("TRACES", "NAMESPACE", "VISIBILITY", "YOU ARE", "ABOUT"), rows)
        return
    for row in rows:
        print_line(console, join_facts(*row))


def print_namespace(namespace: "namespace_pb2.Namespace") -> None:
    """Prints a namespace, a line for each fact."""
    facts = {
        "namespace": one_line(namespace.name),
        "about": one_line(namespace.description),
        "visibility": visibility_label(namespace.visibility),
        "traces": str(namespace.trace_count),
        "you are": role_label(namespace.my_role),
        "created": format_minute(namespace.create_time),
    }
    console = standard_output()
    for name, value in facts.items():
        if value:
            print_line(console, f"{name:12}{value}")


def print_members(members: "Sequence[namespace_pb2.NamespaceMember]") -> None:
    """Prints a line for each member: role, day of the beginning, address, name."""
    console = standard_output()
    rows = [
        (
            role_label(member.role),
            format_day(member.create_time),
            one_line(member.email),
            one_line(member.display_name),
        )
        for member in members
    ]
    if supports_tables(console):
        print_table(console, ("ROLE", "SINCE", "MEMBER"), [(role, day, join_facts(*who)) for role, day, *who in rows])
        return
    for role, *others in rows:
        print_line(console, join_facts(f"{role:9}", *others))

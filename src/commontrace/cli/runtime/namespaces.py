"""Options that name the namespace to store traces in, and the variable that stands for them."""

from typing import Annotated

import typer

from commontrace.domain.namespaces.namespace import COMMONS

VARIABLE = "COMMONTRACE_NAMESPACE"
"""The default of --namespace; several names, where a command takes several, have spaces between them."""

Target = Annotated[
    str,
    typer.Option(
        "--namespace",
        envvar=VARIABLE,
        metavar="NAME",
        help="The namespace to store in; without it, the one that the API key is bound to, or `commons`.",
        show_default=False,
    ),
]
TargetOfAll = Annotated[
    str,
    typer.Option(
        "--namespace",
        envvar=VARIABLE,
        metavar="NAME",
        help="The namespace to store all traces in; without it, what each line says.",
        show_default=False,
    ),
]
Maps = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="OLD=NEW",
        help="Store traces of the namespace OLD in NEW; may be repeated. A line without one is of `commons`.",
    ),
]


def require_one_name(given: str) -> str:
    """Returns the name of --namespace, "" without one. Raises typer.BadParameter for several, which filters take."""
    names = given.split()
    if len(names) > 1:
        raise typer.BadParameter(
            f"a trace is stored in one namespace, not in {len(names)}: give one with --namespace"
            f" ({VARIABLE} may hold several for search, list, export and watch alone)"
        )
    return "".join(names)


def parse_maps(given: list[str]) -> dict[str, str]:
    """Returns new names of namespaces by old ones. Raises typer.BadParameter."""
    renamed: dict[str, str] = {}
    for text in given:
        old, separator, new = text.partition("=")
        if not (old and separator and new):
            raise typer.BadParameter(f"--map must be OLD=NEW, such as {COMMONS}=team, not {text!r}")
        if old in renamed:
            raise typer.BadParameter(f"--map names {old!r} twice: a namespace goes into one other")
        renamed[old] = new
    return renamed


def is_from_environment(invocation: typer.Context, parameter: str) -> bool:
    """Returns True if a parameter has its value from its environment variable."""
    source = invocation.get_parameter_source(parameter)
    return source is not None and source.name == "ENVIRONMENT"

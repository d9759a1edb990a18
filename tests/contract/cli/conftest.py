"""Commands where namespaces are allowed."""

from uuid import uuid4

import pytest

from tests.contract.cli.command_line import Commands


@pytest.fixture(scope="module")
def namespaced(commands: Commands) -> Commands:
    """Commands against a server whose database allows other namespaces than `commons`."""
    code, _, message = commands.run("namespaces", "enable")
    assert (code, message) == (0, "")
    return commands


@pytest.fixture
def team(namespaced: Commands) -> str:
    """A private namespace of the test's own."""
    return a_namespace(namespaced)


@pytest.fixture
def web(namespaced: Commands) -> str:
    """Another one."""
    return a_namespace(namespaced)


def a_namespace(commands: Commands) -> str:
    """Creates a namespace and returns its name."""
    name = f"team-{uuid4().hex[:8]}"
    commands.output("namespaces", "create", name)
    return name

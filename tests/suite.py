"""Pytest hooks, which conftest.py has: the selection of slow tests, and the summary at a run's end."""

from collections import Counter

import pytest

from tests.support.processes import heed_interrupts

OLDER_POSTGRES_VERSIONS = ("16",)
POSTGRES_VERSIONS = ("18", *OLDER_POSTGRES_VERSIONS)
_LONGEST_FILES = 15
SLOW_DIRECTORIES = frozenset({"compatibility", "faults", "fixtures_code"})
"""Every test below them is slow: faults, kills and processes; code of the fixtures; versions of before."""


_ABOVE_STORAGE = (("contract",), ("integration", "serving"), ("integration", "embeddings"))
"""Tests of what does not know which Postgres it is: those of the storage layer run on each."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-postgres", action="store_true", help="run the tests above the storage layer on the older Postgres, too"
    )


def pytest_configure() -> None:
    """Ctrl-C reaches the tests, and the processes that they interrupt, in a shell's background, too."""
    heed_interrupts()


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what is slow, and leaves tests above the storage layer on the older Postgres out, but for those marked."""
    for item in items:
        if not SLOW_DIRECTORIES.isdisjoint(_directories(item)) or _postgres_of(item) in OLDER_POSTGRES_VERSIONS:
            item.add_marker(pytest.mark.slow)
    if config.getoption("every_postgres"):
        return
    left_out = [item for item in items if _is_repeated(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def _is_repeated(item: pytest.Item) -> bool:
    directories = _directories(item)[1:]
    is_above = any(directories[: len(above)] == above for above in _ABOVE_STORAGE)
    is_meant = item.get_closest_marker("every_postgres") is not None
    return is_above and not is_meant and _postgres_of(item) in OLDER_POSTGRES_VERSIONS


def _directories(item: pytest.Item) -> tuple[str, ...]:
    """Below the checkout, whose own place may have any name."""
    return item.path.parent.relative_to(item.config.rootpath).parts


def _postgres_of(item: pytest.Item) -> str | None:
    """The version that a test runs on, None for a test without a database."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("postgres_version") if callspec else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what tests recorded as `counted`, and which files took longest, setups and teardowns included."""
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        for name, value in report.user_properties:
            if name == "counted":
                terminalreporter.line(f"{report.nodeid.rpartition('::')[2]}: {value}")
    seconds: Counter[str] = Counter()
    # Reports of setups and teardowns have no outcome of their own to be listed under.
    for report in (report for outcome in ("", "passed", "failed") for report in terminalreporter.getreports(outcome)):
        seconds[report.nodeid.partition("::")[0]] += report.duration
    for file, taken in seconds.most_common(_LONGEST_FILES):
        terminalreporter.line(f"{taken:6.1f} s  {file}")

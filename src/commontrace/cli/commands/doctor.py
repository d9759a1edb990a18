"""Read-only diagnosis of an installation: doctor (ADR 0016)."""

import sys
import textwrap
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from commontrace import DEFAULT_ADDRESS
from commontrace.cli.output.printing import one_line, print_json
from commontrace.cli.output.progress import progress
from commontrace.cli.runtime.environment import configure_logging
from commontrace.cli.runtime.server_calls import Address, Json, silence_grpc

if TYPE_CHECKING:
    from commontrace.domain.doctor.findings import Finding

_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}
_INDENT = 21


def doctor(*, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Look for what is wrong, and say what to do about it.

    Checks the settings, the database, its vector index, its vectors and who waits for one, the embedding model and the
    server. Changes nothing; an embedded Postgres that does not run is started for the look and stopped again. Ends with
    1 if anything is a problem.
    """
    silence_grpc()
    # Warnings of the log would repeat findings.
    configure_logging("error")
    levels = Counter[str]()
    for finding in _collect_findings(address):
        levels[finding.level] += 1
        if as_json:
            print_json(asdict(finding))
        else:
            _print(finding)
    if not as_json:
        counts = [f"{levels[level]} {level}{'s' * (levels[level] > 1)}" for level in ("problem", "warning")]
        print(", ".join(count for count in counts if not count.startswith("0")) or "all is well")
    sys.exit(1 if levels["problem"] else 0)


def _collect_findings(address: str) -> "list[Finding]":
    import asyncio

    from commontrace.cli.doctor.checks import run_checks

    async def collect() -> "list[Finding]":
        return [finding async for finding in run_checks(address)]

    with progress("looking"):
        return asyncio.run(collect())


def _print(finding: "Finding") -> None:
    from rich.text import Text

    from commontrace.cli.output.console import print_line, standard_output, supports_tables

    console = standard_output()
    message = one_line(finding.message)
    lines = textwrap.wrap(message, console.width - _INDENT) if supports_tables(console) else [message]
    head = Text.assemble((f"{finding.level:7}", _STYLES[finding.level]), f"  {finding.check:10}  ")
    print_line(console, head.append(lines[0]))
    for line in lines[1:]:
        print_line(console, f"{'':{_INDENT}}{line}")
    if finding.advice:
        # Not wrapped, so that a command can be copied.
        print_line(console, f"{'':{_INDENT}}-> {one_line(finding.advice)}")

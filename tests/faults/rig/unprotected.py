"""Runs `commontrace` without one of its protections: `unprotected.py PROTECTION ARGUMENT ...`.

What the scenarios find then shows that they would find it.
"""

import sys
from typing import Any

from commontrace.cli import main
from commontrace.storage import advisory_lock, trace_changes

MIGRATION_LOCK = "migration-lock"
TRACE_LOCK = "trace-lock"


async def _taken_by_everybody(*_lock: object, **_patience: object) -> bool:
    return True


def _unlock_migrations() -> None:
    taken: Any = _taken_by_everybody
    advisory_lock.taken = taken


def _unlock_traces() -> None:
    statement: Any = trace_changes._LOCK._generate()
    statement._for_update_arg = None
    trace_changes._LOCK = statement


if __name__ == "__main__":
    protection = sys.argv.pop(1)
    {MIGRATION_LOCK: _unlock_migrations, TRACE_LOCK: _unlock_traces}[protection]()
    main()

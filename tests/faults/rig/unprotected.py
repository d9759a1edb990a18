"""Runs `commontrace` without one of its protections: `unprotected.py PROTECTION ARGUMENT ...`.

What the scenarios find then shows that they would find it.
"""

import asyncio
import sys
import time
from typing import Any

from commontrace.cli import main
from commontrace.storage import advisory_lock, trace_changes

MIGRATION_LOCK = "migration-lock"
TRACE_LOCK = "trace-lock"

_WINDOW_SECONDS = 3.0


async def _taken_by_everybody(*_lock: object, **_patience: object) -> bool:
    # Those who come within the same seconds go on in the same moment.
    await asyncio.sleep(_WINDOW_SECONDS - time.time() % _WINDOW_SECONDS)
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

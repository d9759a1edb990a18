"""Machine and versions of a run."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import asyncpg

_PACKAGES = ("commontrace", "grpcio", "protobuf", "asyncpg", "sqlalchemy", "uvloop", "numpy")
_DATABASE_SETTINGS = ("shared_buffers", "work_mem", "max_parallel_maintenance_workers")


async def describe(dsn: str) -> dict[str, Any]:
    """Returns the machine, how busy it was before the run, and what runs on it."""
    connection = await asyncpg.connect(dsn)
    try:
        versions = {
            "postgres": await connection.fetchval("SHOW server_version"),
            "pgvector": await connection.fetchval(
                "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"
            ),
            "python": platform.python_version(),
            **{package: version(package) for package in _PACKAGES},
        }
        settings = {name: await connection.fetchval("SELECT current_setting($1)", name) for name in _DATABASE_SETTINGS}
    finally:
        await connection.close()
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": versions,
        "postgres_settings": settings,
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())

"""Check of Postgres' memory: the vector index, and the rows that searches read beside it, fit into its buffers."""

from dataclasses import dataclass

from commontrace.domain.doctor.findings import Finding, ok, warning

_MEGABYTE, _GIGABYTE = 1 << 20, 1 << 30
# Room for the tables' own indexes, the words and the votes, which searches and writes read as well.
_HEADROOM = 1.25
_STEP = 64 * _MEGABYTE
# A server, its model and the system's cache need the other half of a machine.
_SHARE = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryFacts:
    """Sizes in bytes: the vector index, the tables that searches read beside it without their long texts, and buffers.

    `cache` is effective_cache_size: what Postgres' administrator expects of the system's cache, measured by nobody.
    """

    vector_index: int
    tables: int
    shared_buffers: int
    cache: int

    @property
    def needed(self) -> int:
        """Bytes that searches read all over."""
        return self.vector_index + self.tables


def check_memory(name: str, facts: MemoryFacts, *, available: int | None) -> Finding:
    """Compares the vector index of that name, and the tables beside it, with shared_buffers.

    `available` are the bytes of memory of an embedded Postgres' machine, None for a Postgres of one's own.
    """
    sizes = f"{name} takes {_size(facts.vector_index)} and the rows beside it {_size(facts.tables)}"
    if facts.needed <= facts.shared_buffers:
        return ok("memory", f"{sizes}: they fit into shared_buffers of {_size(facts.shared_buffers)}")
    message = f"{sizes}, shared_buffers has {_size(facts.shared_buffers)}: searches fetch pages from outside"
    wanted = _wanted(facts)
    if available is not None:
        advice = f"EMBEDDED_SHARED_BUFFERS={_spelled(wanted)}, and start the server again"
        if wanted * _SHARE > available:
            advice += f"; this machine or container has {_size(available)} of memory: give it more first"
        return warning("memory", message, advice)
    return warning(
        "memory",
        f"{message}, from the system's cache if it is as large as effective_cache_size says, {_size(facts.cache)}",
        f"psql: ALTER SYSTEM SET shared_buffers = '{_spelled(wanted)}'; then restart Postgres, on a machine with at"
        f" least {_spelled(_SHARE * wanted)} of memory (or set shared_buffers in postgresql.conf)",
    )


def _wanted(facts: MemoryFacts) -> int:
    return -(-int(facts.needed * _HEADROOM) // _STEP) * _STEP


def _size(number: int) -> str:
    if number < _GIGABYTE:
        return f"{number / _MEGABYTE:,.0f} MB"
    return f"{number / _GIGABYTE:,.1f} GB"


def _spelled(number: int) -> str:
    """Returns a size as Postgres and EMBEDDED_SHARED_BUFFERS read it."""
    return f"{number // _GIGABYTE}GB" if number % _GIGABYTE == 0 else f"{number // _MEGABYTE}MB"

"""The figures as docs/reliability.md has them; `python -m tests.faults.markdown` prints those of the last run again."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.markdown import table


def table_of(figures: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yields the lines of the table."""
    yield from table(
        ("figure", "target", "measured", "kept", "repeated by"),
        [
            (
                *(figure["name"], figure["target"], figure["measured"]),
                *("yes" if figure["ok"] else "**no**", f"`{figure['command']}`"),
            )
            for figure in figures
        ],
    )


if __name__ == "__main__":
    print("\n".join(table_of(json.loads(Path("faults.json").read_text())["figures"])))

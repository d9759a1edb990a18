"""The benchmark runs, at a size whose numbers mean nothing."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import combinations, count
from pathlib import Path
from typing import Any

import pytest

from bench import closed_loop, markdown
from bench.closed_loop import WrongAnswer
from bench.narrowing import NARROWINGS
from bench.parameters import BadParameters, read_parameters
from tests.support.repository import REPOSITORY

_TINY = {
    "BENCH_TRACES": "100",
    "BENCH_LARGE": "200",
    "BENCH_DIMENSIONS": "64",
    "BENCH_SECONDS": "0.03",
    "BENCH_ROUNDS": "1",
    "BENCH_QUERIES": "4",
    "BENCH_TEXTS": "4",
    "BENCH_IMPORTS": "8",
    "BENCH_CALLERS": "1,16",
}
_SEARCHES = [
    "raw asyncpg, embedding",
    "raw asyncpg, vectors of texts",
    "gRPC, embedding",
    "gRPC, embedding, Python client",
    "gRPC, vectors of texts",
    "gRPC, text, cached",
    "gRPC, text, new",
    "gRPC, text of ten words, new",
    "raw asyncpg + onnxruntime, text, new",
    "raw asyncpg + onnxruntime, text of ten words, new",
]
_WRITES = [
    "search, alone",
    *("raw asyncpg, create", "gRPC, create"),
    *("create, alone", "create, while others search", "search, while others create"),
    *("raw asyncpg, vote", "gRPC, vote"),
    *("vote, alone", "vote, while others search", "search, while others vote"),
]
PARTIES = ("driver", "server", "machine")
_EXPORTS = [f"{side}, export, {vectors} vectors" for vectors in ("no", "with") for side in ("raw asyncpg", "gRPC")]


@pytest.fixture
def place() -> Iterator[Path]:
    """Where runs keep their files: a short path, for the sake of the socket."""
    with tempfile.TemporaryDirectory(prefix="ct-") as directory:
        yield Path(directory)


def start(place: Path, **parameters: str) -> subprocess.Popen[str]:
    """Starts a run, all of whose processes have the place in their environment."""
    environment = os.environ | _TINY | {"TMPDIR": str(place), "BENCH_RESULTS": str(place / "results.json")}
    return subprocess.Popen(
        [sys.executable, "-m", "bench.run"],
        cwd=REPOSITORY,
        env=environment | parameters,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def commands_of(place: Path) -> list[str]:
    """The command of every process that a run in this place has started, the run's own included."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={place}\0".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_a_run_measures_both_sides_of_both_corpora_and_of_one_that_grows(place: Path) -> None:
    run = start(place, BENCH_ONLY="corpora,growth")
    printed, complaints = run.communicate(timeout=300)
    assert run.returncode == 0, complaints

    results = json.loads((place / "results.json").read_text())
    assert results["parameters"]["traces"] == 100
    assert results["machine"]["versions"]["postgres"].startswith("18.")
    first, local = results["corpora"]
    assert (first["dimensions"], local["dimensions"]) == (64, 384)
    check_searches(first["searches"], [name for name in _SEARCHES if "text" not in name])
    check_searches(local["searches"], _SEARCHES)
    for corpus in (first, local):
        assert corpus["loaded"]["vector_index_bytes"] > 0
        # Among so few traces the index misses none.
        assert corpus["recall"] == 1.0
        for row in (*corpus["raw_forms"], *corpus["streams"], *corpus["floor"], *corpus["writes"]):
            check_row(row)
        check_imports(corpus["imports"])
    for row in first["streams"]:
        assert 0 < row["first_p50_ms"] < row["p50_ms"]
    assert [row["callers"] for row in first["floor"]] == [1, 16]
    assert [row["name"] for row in first["writes"]] == _WRITES
    assert [(row["name"], row["traces"]) for row in first["exports"]] == [(name, 100) for name in _EXPORTS]
    for row in first["exports"]:
        check_row(row["exports"])
        assert (row["of_raw"] == 1.0) == row["name"].startswith("raw")
    check_growth(results["growth"])
    assert (results["watching"], results["words"], results["tag_names"]) == (None, [], [])
    assert len(results["targets"]) == 14
    reached_here = list(results["targets"])
    of_bulk = reached_here.pop(2)
    assert (of_bulk["measured"], of_bulk["ok"]) == (None, None)
    for target in reached_here:
        assert target["measured"] > 0
        bound = float(target["target"][3:])
        reached = target["measured"] >= bound if target["target"][0] == ">" else target["measured"] <= bound
        assert target["ok"] == reached
    # What was printed on the way is what is printed again.
    assert printed.startswith("\n".join(markdown.everything(results)))
    assert sorted(path.name for path in place.iterdir()) == ["results.json", "results.png"]
    assert (place / "results.png").read_bytes().startswith(b"\x89PNG")
    assert commands_of(place) == []


@pytest.mark.slow
def test_a_run_measures_what_it_is_told_to(place: Path) -> None:
    """Three parts in one run, which starts one Postgres for them."""
    run = start(place, BENCH_ONLY="watching,words,tag_names,bulk")
    printed, complaints = run.communicate(timeout=300)
    assert run.returncode == 0, complaints

    results = json.loads((place / "results.json").read_text())
    assert (results["corpora"], results["growth"]) == ([], None)
    assert results["watching"]["quiet_p50_ms"] <= results["watching"]["quiet_p99_ms"]
    assert results["watching"]["edits_per_second_watched"] > 0
    raw, bulk = results["bulk"]
    assert (raw["of_raw"], bulk["name"], bulk["traces"]) == (1.0, "commontrace bulk-import", 100)
    assert bulk["of_raw"] == pytest.approx(bulk["per_second"] / raw["per_second"])
    reached = [target["measured"] for target in results["targets"]]
    assert reached == [None, None, bulk["of_raw"], *[None] * 11]
    check_words(results["words"])
    rows = [(row["question"], row["callers"], row["failures"]) for row in results["tag_names"]]
    assert rows == [(f"{names} tag names", callers, 0) for names in ("41", "10,000") for callers in (1, 4)]
    assert printed.startswith("\n".join(markdown.everything(results)))


def check_words(rows: list[dict[str, Any]]) -> None:
    assert len(rows) == len({(row["traces"], row["filter"], row["question"], row["callers"]) for row in rows}) == 60
    assert {row["traces"] for row in rows} == {100, 200}
    for row in rows:
        assert row["failures"] == 0
        assert 0 < row["p50_ms"] <= row["p99_ms"]


def check_searches(rows: list[dict[str, Any]], names: list[str]) -> None:
    assert [(row["callers"], row["name"]) for row in rows] == [
        (callers, name) for callers in (1, 16) for name in names if callers == 16 or "client" not in name
    ]
    for row in rows:
        check_row(row)
        assert (row["of_raw"] == 1.0) == (row["raw_form"] != "") == row["name"].startswith("raw asyncpg,")


def check_growth(growth: dict[str, Any]) -> None:
    assert [step["traces"] for step in growth["steps"]] == [100, 200]
    for step in growth["steps"]:
        assert min(step["server_bytes"], step["postgres_bytes"], step["database_bytes"]) > 1_000_000
    for row in (*growth["steps"], *growth["raw_forms"], *growth["filtered"], *growth["baselines"]):
        check_row(row)
    check_searches(growth["searches"], [name for name in _SEARCHES if "text" not in name])
    assert [(row["filter"], row["callers"]) for row in growth["filtered"]] == [
        (name, callers) for name in ("no filter", *(one.name for one in NARROWINGS)) for callers in (1, 16)
    ]
    assert {row["recall"] for row in growth["filtered"]} == {1.0}
    assert growth["baselines"][-2]["recall"] >= 0.99


def check_row(row: dict[str, Any]) -> None:
    assert row["failures"] == 0
    assert row["answers"] > 0
    assert len(row["per_second_by_round"]) == 1
    # Any of the three, in this order, or none.
    assert row["saturated"] in {", ".join(some) for size in range(4) for some in combinations(PARTIES, size)}
    assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
    assert row["per_second"] > 0
    assert row["cpu_ms_a_search"].keys() == row["busy_cores"].keys() == {"driver", "server", "postgres"}


def check_imports(rows: list[dict[str, Any]]) -> None:
    assert [(row["with_vectors"], row["streams"], row["name"]) for row in rows] == [
        (with_vectors, streams, name)
        for with_vectors in (True, False)
        for streams in (1, 4)
        for name in ("raw asyncpg, COPY", "gRPC, import")
    ]
    for row in rows:
        assert (row["traces"], len(row["per_second_by_round"])) == (8, 1)
        assert row["per_second"] > 0
        assert (row["of_raw"] == 1.0) == row["name"].startswith("raw")
        assert row["cpu_ms_a_trace"].keys() == {"driver", "server", "postgres"}


@pytest.mark.slow
def test_an_interrupted_run_leaves_nothing_behind(place: Path) -> None:
    run = start(place, BENCH_SECONDS="60", BENCH_ONLY="growth")
    until = time.monotonic() + 120
    while not any("bench.grpc_driver" in command for command in commands_of(place)):
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < until, commands_of(place)
        time.sleep(0.05)
    run.send_signal(signal.SIGTERM)
    _, complaints = run.communicate(timeout=60)
    assert (run.returncode, complaints) == (1, "interrupted\n")
    assert commands_of(place) == []
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("BENCH_TRACES", "many"), ("BENCH_TRACES", "99"), ("BENCH_SECONDS", "nan"), ("BENCH_ROUNDS", "0")),
        *(("BENCH_CALLERS", "0"), ("BENCH_CALLERS", "1,65"), ("BENCH_CALLERS", "many"), ("BENCH_ONLY", "growht")),
    ],
)
def test_parameters_that_cannot_be_are_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadParameters, match=f"^{name}: "):
        read_parameters()


def test_a_run_that_cannot_begin_says_why_in_a_line(place: Path) -> None:
    run = start(place, BENCH_TRACES="many")
    printed, complaints = run.communicate(timeout=60)
    assert (run.returncode, printed) == (2, "")
    assert complaints.startswith("BENCH_TRACES: ")
    assert complaints.count("\n") == 1


def test_results_that_cannot_be_stored_are_refused_at_once(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    for results in (place, place / "missing" / "results.json"):
        monkeypatch.setenv("BENCH_RESULTS", str(results))
        with pytest.raises(BadParameters, match=f"^BENCH_RESULTS: {results} cannot be written$"):
            read_parameters()


async def test_failed_calls_are_counted_and_the_first_is_told() -> None:
    async def ask(number: int) -> None:
        if number % 2:
            raise WrongAnswer(f"number {number}")

    answers = await closed_loop.run(ask, count(), callers=1, seconds=0.05)
    assert answers.failures > 0
    assert answers.first_failure == "WrongAnswer: number 1"
    assert answers.milliseconds

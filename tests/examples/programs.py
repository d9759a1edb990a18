"""The programs of examples/."""

from dataclasses import dataclass
from pathlib import Path

from tests.support.repository import REPOSITORY


@dataclass(frozen=True, kw_only=True)
class Program:
    """Commands that build, check and start an example, and its trace's title. `call_on` calls until input ends."""

    place: Path
    build: str
    start: str
    call_on: str
    title: str


PROGRAMS = {
    "go": Program(
        place=REPOSITORY / "examples/go",
        build='buf generate; test -z "$(gofmt -l . | tee /dev/stderr)"; go vet ./...; go mod verify; '
        "go test -c -o gen/restarts.test .",
        start="go run .",
        call_on="gen/restarts.test",
        title="docker build downloads all Go modules again after every edit",
    ),
    "typescript": Program(
        place=REPOSITORY / "examples/typescript",
        build="npm ci; npm run generate; npm run check",
        start="npm start --silent",
        call_on="npm test --silent",
        title="tsc is content, but node fails with ERR_MODULE_NOT_FOUND",
    ),
}

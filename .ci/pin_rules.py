"""Rules of pinning: by a digest, a lock with hashes or a checksum beside it. A version alone can be made anew."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Unpinned(NamedTuple):
    """Dependency that can change without a change here; an exception names `kind` and `what`."""

    kind: str
    what: str
    cure: str


class _Rule(NamedTuple):
    kind: str
    command: re.Pattern[str]
    is_pinned: Callable[[str], bool]
    cure: str


_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}\b")
_COMMIT = re.compile(r"@[0-9a-f]{40}$")
_CHECKSUM = re.compile(r"\bsha(256|512)sum\b.*\s(-c|--check)\b|--checksum[= ]sha256:[0-9a-f]{64}")
_LOOPBACK = re.compile(r"https?://(127\.0\.0\.1|localhost|\[::1\])[:/]")
_FETCH = r"(?:^|[\s/(])(?:curl|wget)\s"
_TO_SHELL = re.compile(
    rf"{_FETCH}.*\|\s*(?:\S+\s+)*?(?:\S*/)?(?:ba|da|z|k)?sh\b|{_FETCH}.*\|\s*(?:\S*/)?(?:python|perl|node)"
    r"|\b(?:sh|bash|eval|source|python\S*)\b.*(?:<\(|\$\(|`)\s*(?:curl|wget)\s"
)
_SYSTEM = re.compile(r"\b(?:apt-get|apt|apk|dnf|microdnf|yum|zypper|brew)\s(?:.*?\s)?(?:install|add)\s+(.+)$")


def in_image_definition(line: str, stages: set[str]) -> Iterator[Unpinned]:
    """Yields images of a Dockerfile's line, and what it adds; `stages` gets the names of those that it begins."""
    begun = re.match(r"\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", line, flags=re.IGNORECASE)
    named = re.findall(r"(?:--from=|[,=]from=)([^\s,]+)", line) + re.findall(r"^#\s*syntax=(\S+)", line)
    for image in [*([begun[1]] if begun else ()), *named]:
        if image not in stages and not image.isdigit():
            yield from _image(image)
    if begun and begun[2]:
        stages.add(begun[2])
    if re.match(r"\s*ADD\s.*(https?://|git@|\.git\b)", line, flags=re.IGNORECASE) and not _CHECKSUM.search(line):
        yield Unpinned("download", " ".join(line.split()), "add --checksum=sha256:...")


def in_yaml(line: str) -> Iterator[Unpinned]:
    """Yields images and actions of a line of Compose or of a workflow."""
    said = re.match(r"\s*(?:-\s*)?(image|container|uses):\s*[\"']?([^\"'\s{]\S*?)[\"']?\s*$", line)
    if said is None or said[2].startswith("./"):
        return
    if said[1] != "uses":
        yield from _image(said[2])
    elif said[2].startswith("docker://"):
        yield from _image(said[2].removeprefix("docker://"))
    elif not _COMMIT.search(said[2]):
        yield Unpinned("action", said[2], "name the commit, all 40 digits")


def in_command(command: str, *, whole: bool) -> Iterator[Unpinned]:
    """Yields what a command fetches; `whole` is a line of several, which tells of pipes and checksums."""
    if whole:
        if _TO_SHELL.search(command):
            yield Unpinned("download", command, "download it, compare its checksum, and run it then")
        elif re.search(_FETCH, command) and not _CHECKSUM.search(command) and not _LOOPBACK.search(command):
            yield Unpinned("download", command, "compare it with `sha256sum --check` in the same line")
        return
    for rule in _RULES:
        if rule.command.search(command) and not rule.is_pinned(command):
            yield Unpinned(rule.kind, command, rule.cure)
            break
    if system := _SYSTEM.search(command):
        packages = [word for word in system[1].split() if not word.startswith("-")]
        yield from (Unpinned("system", name, "name its version") for name in packages if "=" not in name)


def _image(image: str) -> Iterator[Unpinned]:
    if image != "scratch" and not _DIGEST.search(image):
        yield Unpinned("image", image, "add its digest, @sha256:...")


def _is_pinned_for_pip(command: str) -> bool:
    words = command.split()
    if "--require-hashes" in words or "--no-index" in words:
        return True
    # What is here already, without anything that it asks for.
    operands = re.split(r"\s(?:install|download|wheel)\s", command, maxsplit=1)[-1].split()
    return {"--no-deps", "--no-build-isolation"} <= set(words) and all(
        word.startswith((".", "/", "-")) for word in operands
    )


def _never(_command: str) -> bool:
    return False


_RULES = (
    _Rule(
        "pip",
        re.compile(r"\bpip[\d.]*\s(?:.*\s)?(?:install|download|wheel|sync)\s"),
        _is_pinned_for_pip,
        "install from a lock with --require-hashes",
    ),
    _Rule(
        "uv",
        re.compile(r"\buv\s(?:-\S+\s)*(?:sync|run)\b"),
        lambda command: bool({"--frozen", "--locked", "--no-sync"} & set(command.split())),
        "add --locked",
    ),
    _Rule(
        "uv",
        re.compile(r"\b(?:uvx|pipx)\s|\buv\s(?:-\S+\s)*(?:add|tool\s(?:install|run|upgrade))\b"),
        _never,
        "install from a lock with --require-hashes",
    ),
    _Rule(
        "npm",
        re.compile(
            r"\b(?:npx|bunx)\s|\b(?:npm|pnpm|yarn|bun)\s(?:-\S+\s)*(?:install|i|add|update|upgrade|up|exec|x|dlx)\b"
        ),
        lambda command: bool({"--frozen-lockfile", "--immutable"} & set(command.split())),
        "use `npm ci`",
    ),
    _Rule(
        "go",
        re.compile(r"\bgo\s(?:install|run)\s.*@|\bgo\sget\b"),
        _never,
        "name it as a tool in go.mod, and use `go install tool`",
    ),
    _Rule("cargo", re.compile(r"\bcargo\sinstall\b"), lambda command: "--locked" in command.split(), "add --locked"),
    _Rule("gem", re.compile(r"\bgem\sinstall\b"), _never, "use a Gemfile.lock with checksums"),
    _Rule(
        "image",
        re.compile(r"\b(?:docker|podman|nerdctl)\s(?:run|pull|create)\s"),
        lambda command: bool(_DIGEST.search(command)),
        "add its digest, @sha256:...",
    ),
)

"""Stacks as py-spy sampled them, and which part of the server each is in."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_MAIN = "MainThread"
# By a part of a frame, `function (file:line)`: the first group that has one. Python's own C, the C library and whatever
# else matches nothing belong to what called them.
_GROUPS = {
    "parsing": ("_parsed (",),
    "interceptors": ("commontrace/rpc/interceptors/", "/contextlib.py"),
    "validation": ("commontrace/rpc/validation/",),
    "messages, mapped from rows": ("commontrace/rpc/messages/", "commontrace/rpc/messages/vectors.py"),
    "resume tokens": ("commontrace/rpc/paging/page_tokens.py", "/hmac.py", "/json/"),
    "logging": ("structlog/", "/logging/"),
    "servicer, hits cut into messages": ("commontrace/rpc/",),
    "core": ("commontrace/core/", "commontrace/embeddings/", "/asyncio/timeouts.py"),
    "storage": ("commontrace/storage/",),
    "SQLAlchemy": ("sqlalchemy/",),
    "asyncpg": ("asyncpg/", "pgproto.c", "protocol.c", "protocol.pyx"),
    "gRPC": ("cygrpc", "/grpc/"),
    "event loop": ("uvloop", "libuv", "loop.c", "/asyncio/", "_asynciomodule.c", "uv__", "uv_run"),
}
# What protobuf does on its own behalf: gRPC calls it with finished messages.
_PROTOBUF, _SERIALISING = "_message.abi3", "serialising"
_ELSE = "else"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """Sampled call stack of the event loop's thread and its count; frames from the outermost on."""

    frames: Sequence[str]
    count: int


def read(text: str) -> list[Stack]:
    """Returns the stacks of the thread that runs the event loop; `text` is in py-spy's raw format, with threads."""
    stacks = []
    for line in text.splitlines():
        sampled, _, count = line.rpartition(" ")
        thread, *frames = sampled.split(";")
        if _MAIN in thread:
            stacks.append(Stack(frames=frames, count=int(count)))
    return stacks


def shares(stacks: Sequence[Stack]) -> dict[str, float]:
    """Returns the share of each group, largest first: a sample counts for the innermost frame that is of any."""
    counts: Counter[str] = Counter()
    for stack in stacks:
        counts[next(_groups_of(stack.frames), _ELSE)] += stack.count
    total = counts.total()
    return {group: count / total for group, count in counts.most_common()}


def inclusive_shares(stacks: Sequence[Stack]) -> dict[str, float]:
    """Returns the share of the samples that have a frame of the group anywhere."""
    counts: Counter[str] = Counter()
    for stack in stacks:
        for group in set(_groups_of(stack.frames)) or {_ELSE}:
            counts[group] += stack.count
    total = sum(stack.count for stack in stacks)
    return {group: count / total for group, count in counts.items()}


def _groups_of(frames: Sequence[str]) -> Iterator[str]:
    """Yields the groups of the frames, from the innermost on."""
    is_protobuf = False
    for frame in reversed(frames):
        is_protobuf = is_protobuf or _PROTOBUF in frame
        group = next((name for name, parts in _GROUPS.items() if any(part in frame for part in parts)), None)
        if group == "gRPC" and is_protobuf:
            yield _SERIALISING
        if group is not None:
            is_protobuf = False
            yield group

"""Code path of a search: the files of ours that run for it, and the frames between its RPC method and the driver."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType

import asyncpg

import commontrace
from commontrace.rpc.servicers.traces import TraceServicer

_PACKAGE = str(Path(commontrace.__file__).parent)
_GENERATED = f"{_PACKAGE}/v1/"
_RPC_METHOD: CodeType = TraceServicer.SearchTraces.__code__
_FETCH: CodeType = asyncpg.Connection.fetch.__code__


@dataclass(kw_only=True, slots=True)
class SearchPath:
    """Recorded path of one search. File names are relative to the package."""

    call_files: set[str] = field(default_factory=set)
    """Files that run for the call as a whole, interceptors and callbacks included."""
    method_files: set[str] = field(default_factory=set)
    """Files that run in the RPC method or below it."""
    frames: list[str] = field(default_factory=list)
    """Frames of ours at the driver's `fetch`: the RPC method first, the caller of `fetch` last."""


@contextmanager
def recorded_path() -> Iterator[SearchPath]:
    """Yields the path of the search that the block makes, complete at the block's end.

    Everything of ours counts that runs in this thread meanwhile, but for the tasks that were there before: the caller's
    own, and the server's background loops.
    """
    path, earlier = SearchPath(), asyncio.all_tasks()

    def record(frame: FrameType, event: str, _argument: object) -> None:
        if event != "call" or asyncio.current_task() in earlier:
            return
        if frame.f_code is _FETCH:
            path.frames = path.frames or [f"{_file(code)}: {code.co_qualname}" for code in _stack(frame)]
        elif _is_ours(frame.f_code):
            path.call_files.add(_file(frame.f_code))
            if _stack(frame):
                path.method_files.add(_file(frame.f_code))

    sys.setprofile(record)
    try:
        yield path
    finally:
        sys.setprofile(None)


def _stack(frame: FrameType) -> list[CodeType]:
    """Returns the code of ours on the stack from the RPC method to the frame, nothing outside of the RPC method."""
    stack: list[CodeType] = []
    caller: FrameType | None = frame
    while caller is not None:
        if _is_ours(caller.f_code):
            stack.insert(0, caller.f_code)
        if caller.f_code is _RPC_METHOD:
            return stack
        caller = caller.f_back
    return []


def _is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith(_PACKAGE) and not code.co_filename.startswith(_GENERATED)


def _file(code: CodeType) -> str:
    return str(Path(code.co_filename).relative_to(_PACKAGE))

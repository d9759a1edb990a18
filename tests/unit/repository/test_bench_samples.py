import pytest

from bench import samples

_BASE = "thread (1): MainThread;main (/x/commontrace/cli/__init__.py:1);run (/x/uvloop/__init__.py:2);uv_run (core.c:3)"
_STREAM = f"{_BASE};_handle_rpc (/x/cygrpc.so);stream (/x/commontrace/rpc/interceptors/interceptor.py:4)"
_TEXT = f"""\
{_BASE};epoll_pwait (libc.so.6) 2
{_STREAM} 1
{_STREAM};_parsed (/x/commontrace/rpc/interceptors/guard.py:5);Parse (_message.abi3.so) 1
{_STREAM};SearchTraces (/x/commontrace/rpc/trace_servicer.py:6);hits (/x/commontrace/storage/trace_search.py:7) 3
{_BASE};_handle_rpc (/x/cygrpc.so);Serialize (_message.abi3.so);memcpy (libc.so.6) 1
thread (2): Thread-1;run (/x/threading.py:8) 100
"""


def test_a_sample_counts_for_the_innermost_part_and_for_all_that_called_it() -> None:
    stacks = samples.read(_TEXT)
    assert samples.shares(stacks) == {
        "storage": 3 / 8,
        "event loop": 2 / 8,
        "interceptors": 1 / 8,
        "parsing": 1 / 8,
        "serialising": 1 / 8,
    }
    inclusive = samples.inclusive_shares(stacks)
    assert inclusive["event loop"] == 1
    assert inclusive["gRPC"] == pytest.approx(6 / 8)
    assert inclusive["interceptors"] == pytest.approx(5 / 8)
    assert inclusive["servicer, hits cut into messages"] == pytest.approx(3 / 8)

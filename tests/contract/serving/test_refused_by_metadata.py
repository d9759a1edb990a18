"""Calls that are refused by their metadata alone, before a message is received."""

import asyncio
import time
from collections import Counter

import grpc
import pytest

from commontrace.core.keys import cache as key_cache
from commontrace.domain import limits
from commontrace.domain.keys.api_key import new_key
from commontrace.rpc import request_receiver
from tests.conftest import RunningServer
from tests.contract.callers import reason_of
from tests.contract.calls import METHODS, call
from tests.contract.errors.error_row import GET, IMPORT, SEARCH, VALID
from tests.contract.errors.error_table import padded
from tests.support.keys import Metadata, a_key, bearer
from tests.support.locks import held


async def answer_without_message(server: RunningServer, rpc: str, metadata: Metadata) -> str:
    """Returns the reason for which a call is refused that sends no message and does not half-close."""
    method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = server.channel.stream_stream(rpc)
    return await reason_of(method(timeout=10, metadata=metadata).read())


@pytest.mark.parametrize("rpc", METHODS)
async def test_a_missing_key_is_refused_before_a_message_is_received(keyed: RunningServer, rpc: str) -> None:
    began = time.perf_counter()
    assert await answer_without_message(keyed, rpc, ()) == "KEY_REQUIRED"
    assert await answer_without_message(keyed, rpc, bearer("nonsense")) == "INVALID_KEY"
    assert time.perf_counter() - began < request_receiver.PROMPT_SECONDS


PAYLOADS = {
    "too large for the contract": padded(VALID[GET].SerializeToString(), limits.REQUEST_BYTES + 1),
    "too large for the transport": padded(VALID[GET].SerializeToString(), limits.RECEIVED_BYTES + 1),
    "garbage": b"\xff\xff",
    "invalid": b"",
    "none": None,
}


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("rpc", [GET, SEARCH, IMPORT])
async def test_of_several_faults_that_of_the_caller_is_reported_first(
    keyed: RunningServer, rpc: str, name: str
) -> None:
    error = await call(keyed.channel, rpc, PAYLOADS[name])
    assert error is not None
    assert (error.details() or "").startswith("KEY_REQUIRED: ")


async def test_guessed_keys_block_no_user(
    keyed: RunningServer, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 8
    monkeypatch.setattr(key_cache, "MOST_STRANGERS", most)
    key = bearer(await a_key(keyed.database, "ada@example.org"))
    request = VALID[SEARCH].SerializeToString()
    assert await call(keyed.channel, SEARCH, request, key) is None
    async with held(database_url, "LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE"):
        guesses = [asyncio.create_task(reason_of(_search(keyed, bearer(new_key().text)))) for _ in range(3 * most)]
        refused, waiting = await asyncio.wait(guesses, timeout=1.0)
        assert Counter(guess.result() for guess in refused) == {"OVERLOADED": 2 * most}
        assert len(waiting) == most
        # A cached key needs no look-up.
        assert await call(keyed.channel, SEARCH, request, key) is None
    assert set(await asyncio.gather(*waiting)) <= {"INVALID_KEY", "OVERLOADED", "DATABASE_UNAVAILABLE"}


async def _search(server: RunningServer, key: Metadata) -> None:
    search: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = server.channel.unary_stream(SEARCH)
    async for _ in search(VALID[SEARCH].SerializeToString(), timeout=10, metadata=key):
        pass


async def test_slow_messages_of_one_user_block_no_other(keyed: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_receiver, "PROMPT_SECONDS", 0.1)
    monkeypatch.setattr(request_receiver, "TIMEOUT_SECONDS", 1.5)
    slow, other = [bearer(await a_key(keyed.database, f"{name}@example.org")) for name in ("slow", "other")]
    # More than are received at a time.
    stalled = [
        asyncio.create_task(answer_without_message(keyed, GET, slow))
        for _ in range(2 * request_receiver.MAX_CONCURRENT)
    ]
    await asyncio.sleep(0.3)
    method: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = keyed.channel.stream_unary(GET)
    late = method(timeout=10, metadata=other)
    await asyncio.sleep(0.5)
    await late.write(VALID[GET].SerializeToString())
    await late.done_writing()
    assert await reason_of(late) == "TRACE_NOT_FOUND"
    outcomes = Counter(await asyncio.gather(*stalled))
    assert outcomes.keys() == {"MALFORMED_REQUEST", "OVERLOADED"}


async def test_large_messages_of_one_user_are_received_a_few_at_a_time_and_all_answered(keyed: RunningServer) -> None:
    key = bearer(await a_key(keyed.database, "ada@example.org"))
    payload = padded(VALID[GET].SerializeToString(), limits.RECEIVED_BYTES)
    errors = await asyncio.gather(
        *(call(keyed.channel, GET, payload, key) for _ in range(4 * request_receiver.MAX_CONCURRENT))
    )
    told = Counter((error.details() or "").partition(":")[0] for error in errors if error is not None)
    assert sum(told.values()) == len(errors)
    assert told.keys() <= {"REQUEST_TOO_LARGE", "OVERLOADED"}

"""asyncio error handling: the functions of the solution, with upstreams that fail and hang."""

import asyncio
import contextlib
from types import ModuleType

import pytest

from tests.fixtures_code.conftest import ImportCode
from tests.fixtures_code.solutions import block

ERRORS = block("asyncio-taskgroup-error-handling", "python")


@pytest.fixture
def errors(import_code: ImportCode) -> ModuleType:
    return import_code(ERRORS.code)


class Upstream:
    """Answers each key after its delay, or raises what it is told to; knows who was cut off."""

    def __init__(self, answers: dict[str, tuple[float, object]]) -> None:
        self.answers, self.cancelled = answers, set[str]()

    async def __call__(self, key: str) -> object:
        delay, answer = self.answers[key]
        try:
            await asyncio.sleep(delay)
        except asyncio.CancelledError:
            self.cancelled.add(key)
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_all_or_nothing_answers_in_order(errors: ModuleType) -> None:
    upstream = Upstream({"a": (0.02, 1), "b": (0, 2)})
    assert await errors.fetch_all(upstream, ["a", "b"], seconds=1) == [1, 2]


async def test_the_first_failure_cancels_the_siblings(errors: ModuleType) -> None:
    upstream = Upstream({"a": (0, ConnectionError("reset")), "b": (5, 2)})
    with pytest.raises(errors.UpstreamError, match="1 of 2 calls failed") as failure:
        await errors.fetch_all(upstream, ["a", "b"], seconds=1)
    assert upstream.cancelled == {"b"}
    assert isinstance(failure.value.__cause__, ExceptionGroup)


async def test_time_running_out_is_one_plain_error(errors: ModuleType) -> None:
    upstream = Upstream({"a": (5, 1), "b": (5, 2)})
    with pytest.raises(errors.UpstreamError, match=r"no answer within 0\.02 s"):
        await errors.fetch_all(upstream, ["a", "b"], seconds=0.02)
    assert upstream.cancelled == {"a", "b"}


async def test_a_bug_among_the_failures_stays_visible(errors: ModuleType) -> None:
    upstream = Upstream({"a": (0, ConnectionError("reset")), "b": (0, KeyError("bug"))})
    with pytest.raises(ExceptionGroup) as failure:
        await errors.fetch_all(upstream, ["a", "b"], seconds=1)
    assert failure.group_contains(KeyError)


async def test_a_result_per_item_keeps_the_good_answers(errors: ModuleType) -> None:
    reset = ConnectionError("reset")
    upstream = Upstream({"a": (0, reset), "b": (0.02, 2), "c": (0, TimeoutError("slow"))})
    answers = await errors.fetch_each(upstream, ["a", "b", "c"])
    assert (answers["a"], answers["b"]) == (reset, 2)
    assert isinstance(answers["c"], TimeoutError)


async def test_retry_tries_again_and_raises_the_last_error_as_it_is(errors: ModuleType) -> None:
    outcomes: list[object] = [ConnectionError("1"), ConnectionError("2"), "answer"]

    async def call() -> object:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert await errors.retry(call, delay=0.001) == "answer"
    outcomes += [ConnectionError("1"), ConnectionError("2"), ConnectionError("3"), ValueError("bug")]
    with pytest.raises(ConnectionError, match="3"):
        await errors.retry(call, delay=0.001)
    with pytest.raises(ValueError, match="bug"):
        await errors.retry(call, delay=0.001)
    assert outcomes == []


async def test_the_worker_survives_failing_jobs_and_stops_when_cancelled(
    errors: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    queue: asyncio.Queue[str] = asyncio.Queue()
    for job in ("bad", "good"):
        queue.put_nowait(job)
    done: list[str] = []

    async def handle(job: str) -> None:
        if job == "bad":
            raise ValueError(job)
        done.append(job)

    worker = asyncio.create_task(errors.work(queue, handle))
    await queue.join()
    assert (done, caplog.messages) == (["good"], ["job 'bad' failed"])
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker


def _translate_inside_a_clause(group: ExceptionGroup[Exception]) -> None:
    try:
        raise group
    except* ConnectionError:
        raise ValueError("translated") from None


async def test_what_the_text_says_of_gather_groups_and_cancellation_is_true() -> None:
    upstream = Upstream({"a": (0, ConnectionError("reset")), "b": (0.02, 2)})
    sibling = asyncio.create_task(upstream("b"))
    with pytest.raises(ConnectionError):
        await asyncio.gather(upstream("a"), sibling)
    assert not sibling.done()
    assert await sibling == 2

    with pytest.raises(ExceptionGroup, match="unhandled errors in a TaskGroup") as failure:
        async with asyncio.TaskGroup() as group:
            group.create_task(upstream("a"))
    assert failure.group_contains(ConnectionError)

    # Early 3.11 releases wrap it here too.
    with pytest.raises((ValueError, ExceptionGroup)):
        _translate_inside_a_clause(ExceptionGroup("calls", [ConnectionError()]))
    with pytest.raises(ExceptionGroup) as translated:
        _translate_inside_a_clause(ExceptionGroup("calls", [ConnectionError(), KeyError()]))
    assert translated.group_contains(ValueError)
    assert translated.group_contains(KeyError)

    async with asyncio.timeout(0.01) as limit:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(5)
    assert limit.expired()

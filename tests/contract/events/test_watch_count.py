"""The rule for gaps is what keeps watchers from missing changes: without it, they do."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from random import Random

import pytest
from structlog.testing import capture_logs

from commontrace.domain.events.commit_order import CommitOrder, Snapshot
from tests.conftest import RunningServer, ServerFactory, server_settings
from tests.contract.events.changes_followed import Follower, happened, missing
from tests.contract.events.changing_writers import Tally, change
from tests.faults.harness.proxy import proxy_before
from tests.support.builders import a_contribution

WRITERS, CHANGES = 8, 400


@pytest.fixture
def quiet() -> Iterator[None]:
    """A line in the log for each of so many calls would take longer than some of them."""
    with capture_logs():
        yield


def without_the_rule(settlement: CommitOrder, look: Snapshot) -> bool:
    settlement.watermark = look.last
    return False


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("has_rule", [True, False], ids=["with", "without"])
async def test_the_rule_for_gaps(
    start_server: ServerFactory,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
    *,
    has_rule: bool,
) -> None:
    if not has_rule:
        monkeypatch.setattr(CommitOrder, "apply", without_the_rule)
    chance = Random(3)  # noqa: S311 - no secret
    tally = Tally(wanted=CHANGES)
    async with (
        start_server(settings=server_settings(validation_threshold=1)) as server,
        proxy_before(server.address, itertools.repeat(1_000_000)) as proxy,
    ):
        follower = Follower(proxy, chance)
        following = asyncio.create_task(follower.follow())
        await follower.until_begun(following)
        await change([server], database_url, chance, tally, WRITERS)
        # What was committed last is told last, whatever was skipped.
        last = await created_last(server)
        await follower.until_told_of(last)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    events = await happened(database_url)
    lost = missing(events, follower.told)
    record_property("counted", f"{len(events)} events, {tally.rolled_back} rolled back, {lost} lost")
    assert missing(follower.told, events) == 0
    assert (lost == 0) is has_rule


async def created_last(server: RunningServer) -> str:
    return (await server.traces.CreateTrace(a_contribution(10**6))).created.id

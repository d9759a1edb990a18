"""Searches through gRPC that consider a part of the traces: how fast, and how many of the nearest they find."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench import grpc_driver, recall
from bench.measuring import Measured, Measuring, Search
from bench.narrowing import NARROWINGS
from bench.parameters import FEW_CALLERS
from bench.processes import Driver
from bench.recall import Recall
from commontrace.client import Client

# Of a round: there are many.
_SHARE = 0.4
_QUERIES = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Filtered:
    """Searches under one filter; one `measured` for each number of callers."""

    name: str
    recall: Recall
    measured: Sequence[Measured]


async def measure(
    measuring: Measuring,
    through_grpc: Driver,
    client: Client,
    embeddings: NDArray[np.float32],
    queries: NDArray[np.float32],
    *,
    model_id: str,
) -> list[Filtered]:
    """Measures searches without a filter and under each. Raises RunFailed."""
    narrowings = (None, *NARROWINGS)
    some = queries[:_QUERIES]
    recalls = [
        await recall.measure(client, embeddings, some, model_id=model_id, narrowing=narrowing)
        for narrowing in narrowings
    ]
    orders = [grpc_driver.among(narrowing) for narrowing in narrowings]
    searches = [Search(name=order, driver=through_grpc, order=order) for order in orders]
    by_callers = [await measuring.in_turn(searches, callers=callers, rounds=1, share=_SHARE) for callers in FEW_CALLERS]
    names = [narrowing.name if narrowing else "no filter" for narrowing in narrowings]
    return [
        Filtered(name=name, recall=found, measured=measured)
        for name, found, *measured in zip(names, recalls, *by_callers, strict=True)
    ]

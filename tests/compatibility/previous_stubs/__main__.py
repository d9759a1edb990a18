"""Calls every RPC and checks the answers: `python -m tests.compatibility.previous_stubs ADDRESS`, in the repository.

Prints, as JSON, where its stubs are from and the paths of the RPCs that it called. It ends with a traceback where an
answer differs from what the contract says.
"""

import asyncio
import json
import sys

import grpc

import commontrace.v1
from tests.compatibility.previous_stubs import exchange, moderation, tags, traces, votes
from tests.compatibility.previous_stubs.user import User


async def call_everything(address: str) -> set[str]:
    """Returns the path of every RPC that was called."""
    called: set[str] = set()
    async with grpc.aio.insecure_channel(address) as channel:
        ada, grace, hedy = (User(f"{name}@example.org", channel, called) for name in ("ada", "grace", "hedy"))
        token = await exchange.check_a_watch_begins(ada)
        trace = await traces.check_contributions(ada)
        await exchange.check_a_watch_goes_on(ada, token, trace.id)
        await traces.check_reads(ada, trace)
        await traces.check_searches(grace, trace)
        await votes.check_votes(trace.id, owner=ada, voters=[grace, hedy])
        await traces.check_edits(ada, trace)
        await moderation.check_deletion(ada, trace.id)
        await moderation.check_hiding(trace.id, owner=ada, moderator=hedy)
        await tags.check_vocabulary(grace)
        await tags.check_merges(grace, trace.id)
        imported = await exchange.check_imports(ada)
        await exchange.check_exports(grace, imported)
        await moderation.check_purging(imported[0], moderator=hedy)
    return called


rpcs = sorted(asyncio.run(call_everything(sys.argv[1])))
json.dump({"stubs": list(commontrace.v1.__path__), "rpcs": rpcs}, sys.stdout)

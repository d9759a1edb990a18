"""How calls fail on a server whose users have used up what they may read and write in a minute."""

from collections.abc import Iterator

from tests.contract.error_row import VALID, Code, Row

SPENDER = (("x-commontrace-user", "spender@example.org"),)


def quota_rows() -> Iterator[Row]:
    """Every RPC, for a caller who has used up both quotas."""
    for rpc, request in VALID.items():
        yield Row(
            name="quota used up",
            rpc=rpc,
            request=request,
            code=Code.RESOURCE_EXHAUSTED,
            reason="QUOTA_EXCEEDED",
            metadata=SPENDER,
        )

"""The Python client: `async with connect() as client: ...`."""

from commontrace.client.client import DEFAULT_ADDRESS, Client, connect, vector
from commontrace.client.errors import CallFailed

__all__ = ["DEFAULT_ADDRESS", "CallFailed", "Client", "connect", "vector"]

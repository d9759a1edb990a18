"""The Python client: `async with connect() as client: ...`."""

from commontrace.client.client import Client, connect, vector
from commontrace.client.errors import CallFailed

__all__ = ["CallFailed", "Client", "connect", "vector"]

"""Speaks HTTP to an ASGI application in this process, its lifespan included."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx


@asynccontextmanager
async def browse(app: Any, *, crashes: bool = False) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `app`; with `crashes`, unhandled exceptions are answered 500 instead of raised here."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=not crashes)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@asynccontextmanager
async def serve(app: Any, *, crashes: bool = False) -> AsyncIterator[httpx.AsyncClient]:
    """As `browse`, between the start-up and the shutdown of a FastAPI application."""
    async with app.router.lifespan_context(app), browse(app, crashes=crashes) as client:
        yield client

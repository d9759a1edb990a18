"""Executor: type of the session or connection on which a repository runs its statements."""

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

Executor = AsyncSession | AsyncConnection
"""A session with an open transaction, or a connection in autocommit.

Read sides of repositories take an executor. Write sides take a session, so that only a unit of work can write.
"""

"""Executor: type of the transaction or connection on which a repository runs its statements."""

from typing import TypeAlias

from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.storage.transaction import Transaction

Executor: TypeAlias = Transaction | AsyncConnection
"""An open transaction, or a connection in autocommit.

Read sides of repositories take an executor. Write sides take a transaction, so that only a unit of work can write.
"""

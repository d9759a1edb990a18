"""The extra `server`: its packages are optional, and commands that need them say what to install."""

from importlib.util import find_spec

from commontrace.cli.output.printing import fail

# Import names. Several, because other programs may have installed some of them.
_PACKAGES = (
    "alembic",
    "asyncpg",
    "cryptography",
    "numpy",
    "pgvector",
    "pydantic_settings",
    "sqlalchemy",
    "structlog",
)


def require_server() -> None:
    """Ends the command with exit code 1 where a package of the server is not installed. Imports none of them."""
    if any(find_spec(package) is None for package in _PACKAGES):
        fail("this command needs the server: pip install 'commontrace[server]'")

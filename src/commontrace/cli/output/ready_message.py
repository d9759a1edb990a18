"""Ready message of `commontrace serve`: its address, where its data is, and commands to try."""

import shlex
import shutil
import sys
from typing import TYPE_CHECKING

from commontrace import DEFAULT_ADDRESS, addresses

if TYPE_CHECKING:
    from commontrace.settings import Settings

_CALL_EXAMPLES = (
    "search 'the session breaks after await in FastAPI'",
    "contribute --title '...' --context '...' --solution '...' --tag python",
)
_KEY_EXAMPLES = ("users create ada@example.org", "keys create ada@example.org")


def ready_lines(address: str, settings: "Settings") -> str:
    """Returns the message. Its commands work in any shell in this directory, without the server's environment."""
    lines = [f"commontrace ready on {address}"]
    if settings.database_url is None:
        lines.append(f"  data in {settings.data_dir}")
    else:
        lines.append("  data in the database of DATABASE_URL, which commands for users and keys need as well")
    if settings.authentication == "keys":
        lines += [f"  {_data_dir(settings)}{_program()} {words}" for words in _KEY_EXAMPLES]
    else:
        tls = " --tls" if settings.tls_cert_file is not None else ""
        lines += [f"  {_program()}{tls} {words}{_address_option(address)}" for words in _CALL_EXAMPLES]
    return "".join(f"{line}\n" for line in lines)


def _data_dir(settings: "Settings") -> str:
    # The default needs no mention: other commands of this installation have the same.
    is_given = settings.database_url is None and "data_dir" in settings.model_fields_set
    return f"DATA_DIR={shlex.quote(str(settings.data_dir))} " if is_given else ""


def _address_option(address: str) -> str:
    host, port = addresses.parse(address)
    # Clients cannot connect to a wildcard address.
    reachable = addresses.format_address({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)  # noqa: S104 - not bound
    return "" if reachable == DEFAULT_ADDRESS else f" --address {shlex.quote(reachable)}"


def _program() -> str:
    program = sys.argv[0]
    if program.endswith("__main__.py"):
        return f"{shlex.quote(sys.executable)} -m commontrace"
    return "commontrace" if program == shutil.which("commontrace") else shlex.quote(program)

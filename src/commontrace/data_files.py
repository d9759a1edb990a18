"""Where the files that are not Python lie: in a checkout beside `src`, in an installed wheel inside the package."""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parent.parent


def data_directory(name: str) -> Path:
    """Returns the directory `name` (`migrations` or `fixtures`)."""
    # The checkout first: an editable install may hold a stale copy of what belongs into a wheel.
    if (_CHECKOUT / "pyproject.toml").is_file():
        return _CHECKOUT / name
    return _PACKAGE / "_data" / name

"""Where the files that are not Python lie: in a checkout beside `src`, in an installed wheel inside the package."""

from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parent.parent


def data_directory(name: str) -> Path:
    """Returns the directory `name` (`migrations` or `fixtures`)."""
    # The checkout first: an editable install may hold a stale copy of what belongs into a wheel.
    return (_CHECKOUT if _is_in_checkout() else _PACKAGE / "_data") / name


def default_database_directory() -> Path:
    """Returns where the embedded database is unless DATA_DIR says otherwise: `.data` of the checkout, for its commands.

    Elsewhere it is in the user's data directory, and starts with `~` where the user has no home.
    """
    if _is_in_checkout():
        return _CHECKOUT / ".data"
    return _user_data_directory()


def user_model_directory(name: str) -> Path:
    """Returns where `commontrace models install` keeps a model's files; starts with `~` where the user has no home."""
    return _user_data_directory() / "models" / name


def _user_data_directory() -> Path:
    return Path(platformdirs.user_data_dir("commontrace", appauthor=False))


def _is_in_checkout() -> bool:
    return _PACKAGE.parent.name == "src" and (_CHECKOUT / "pyproject.toml").is_file()

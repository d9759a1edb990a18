"""Data files (migrations, fixtures): beside `src` in a checkout, inside the package in an installed wheel."""

from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parent.parent


def data_directory(name: str) -> Path:
    """Returns the directory of that name, `migrations` or `fixtures`."""
    # The checkout first: an editable install may have a stale copy of the wheel's files.
    return (_CHECKOUT if _is_in_checkout() else _PACKAGE / "_data") / name


def default_database_directory() -> Path:
    """Returns the default of DATA_DIR, the directory of the embedded database (ADR 0050).

    It is `.data` of the checkout, else the user's data directory, which starts with `~` if the user has no home.
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

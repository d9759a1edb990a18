"""Texts as token ids, in windows: with tokenizers that join the prompt with the text."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, processors

from commontrace.embeddings.local.text_tokenizer import TextTokenizer

# SentencePiece's mark of a space. Alone it is a token too: that of the space at the prompt's end.
SPACE = "\u2581"
WORDS = ("<s>", "</s>", "<unk>", SPACE, f"{SPACE}query", ":", f"{SPACE}cache", f"{SPACE}pool")


def sentence_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram([(word, -1.0) for word in WORDS], 2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", None, [("<s>", 0), ("</s>", 1)])
    return tokenizer


def files(**changes: Any) -> Any:
    described = {"prompt": "query: ", "lowercases": False, "max_tokens": 9, "tokenizer": Path("tokenizer.json")}
    return SimpleNamespace(**described | changes)


def words(token_ids: list[int]) -> list[str]:
    return [WORDS[token_id] for token_id in token_ids]


def test_the_first_word_behind_a_prompt_is_read() -> None:
    texts = TextTokenizer(sentence_piece(), files(), name="a model")
    [framed] = texts.framed(texts.tokenize("cache pool"))
    assert words(framed) == ["<s>", f"{SPACE}query", ":", f"{SPACE}cache", f"{SPACE}pool", "</s>"]


def test_a_text_is_read_in_two_windows_of_the_model() -> None:
    texts = TextTokenizer(sentence_piece(), files(prompt="", max_tokens=4), name="a model")
    tokenized = texts.tokenize("cache pool cache pool cache pool")
    assert texts.window == 2
    assert (tokenized.window_lengths, tokenized.total) == ([2, 2], 6)
    assert [len(window) for window in texts.framed(tokenized)] == [4, 4]
    assert words(list(tokenized.token_ids)) == [f"{SPACE}cache", f"{SPACE}pool"] * 2

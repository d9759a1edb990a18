"""Token weights: how much each token of a vocabulary counts in late interaction, by its rarity (ADR 0058)."""

import math

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

# Zipf's law: the token in place r has a probability of about 1 / r, and an information of about ln r. The offset keeps
# the most frequent words from counting nothing.
_OFFSET = 50
# The marks of a word's continuation (WordPiece) or beginning (SentencePiece, byte-level BPE).
_MARKS = ("##", "\u2581", "\u0120")


def token_weights(tokenizer: Tokenizer) -> NDArray[np.float32]:
    """Returns the weight of each token id: shape (vocabulary,), 0 for tokens without a letter or digit.

    ln(50 + r), with r the token's place among those of two letters or digits and more. Published vocabularies list
    these by falling frequency in the texts they were made from. Single letters and digits have the least weight.
    """
    tokens = tokenizer.get_vocab()
    weights = np.zeros(max(tokens.values(), default=-1) + 1, np.float32)
    place = 0
    for token, token_id in sorted(tokens.items(), key=lambda item: item[1]):
        visible = sum(map(str.isalnum, _unmarked(token)))
        if not visible or _is_reserved(token):
            continue
        if visible == 1:
            weights[token_id] = math.log(_OFFSET)
        else:
            weights[token_id] = math.log(_OFFSET + place)
            place += 1
    return weights


def _is_reserved(token: str) -> bool:
    """Tells whether a token stands for no text, such as [CLS], [unused7] and <pad>."""
    return len(token) > 1 and (token[0], token[-1]) in (("[", "]"), ("<", ">"))


def _unmarked(token: str) -> str:
    return next((token.removeprefix(mark) for mark in _MARKS if token.startswith(mark)), token)

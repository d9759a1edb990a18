"""Finds secrets in texts that are to be kept. Names the kind and the line, and never says the secret."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import re2

from commontrace.domain.secrets.rules import RULES, Rule

# Characters that are not seen: soft hyphen, zero-width ones, word joiners, byte order mark, variation selectors.
_UNSEEN = re.compile("[\u00ad\u034f\u180e\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]")
# Values that are looked at in one text: one that has more of what resembles secrets counts as one.
_VALUES = 200


class Secret(NamedTuple):
    """A secret in a text: the rule that it fits, and the line that it begins in, counted from 1."""

    rule: Rule
    line: int


class SecretScan:
    """Finds what fits any of a set of rules, in time that grows with the length of the text and no faster."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        """Compiles the rules."""
        options = re2.Options()
        # A byte is a character: what secrets are made of is ASCII, whatever stands around them.
        options.encoding = re2.Options.Encoding.LATIN1
        self._rules = [(rule, re2.compile((rule.begins + rule.goes_on).encode(), options)) for rule in rules]
        self._beginnings = re2.Set.SearchSet(options)
        for rule in rules:
            self._beginnings.Add(rule.begins.encode())
        self._beginnings.Compile()

    def find(self, text: str) -> list[Secret]:
        """Returns the secrets in a text, the first of each rule, by rule."""
        data = (text if text.isascii() else _UNSEEN.sub("", text)).encode()
        begun = self._beginnings.Match(data)
        return list(self._found(data, sorted(begun))) if begun else []

    def _found(self, data: bytes, begun: list[int]) -> Iterator[Secret]:
        left = _VALUES
        taken: list[tuple[int, int]] = []
        for index in begun:
            rule, pattern = self._rules[index]
            end = 0
            while (match := pattern.search(data, end)) is not None:
                begin, end = match.span(1)
                left -= 1
                if left < 0 or (not _within(begin, end, taken) and rule.holds(match.group(1))):
                    taken.append((begin, end))
                    yield Secret(rule, 1 + data.count(b"\n", 0, begin))
                    break


def _within(begin: int, end: int, taken: list[tuple[int, int]]) -> bool:
    return any(begin < other_end and other_begin < end for other_begin, other_end in taken)


scan = SecretScan(RULES)

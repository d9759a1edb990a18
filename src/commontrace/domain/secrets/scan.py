"""Secret scanner: finds secrets in texts, by kind and line. Its findings never contain the secret (ADR 0030)."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import re2

from commontrace.domain.secrets.rules import RULES, Rule

# Invisible characters: soft hyphen, zero-width ones, word joiners, byte order mark, variation selectors.
_UNSEEN = re.compile("[\u00ad\u034f\u180e\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]")
# Candidates examined in one text: a text with more of them counts as a secret.
_VALUES = 200


class Secret(NamedTuple):
    """A finding: the rule that matched, and the line where the secret begins, counted from 1."""

    rule: Rule
    line: int


class SecretScan:
    """A scanner for a set of rules, in time linear in the length of the text."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        options = re2.Options()
        # A byte is a character: secrets are ASCII, whatever surrounds them.
        options.encoding = re2.Options.Encoding.LATIN1
        self._rules = [(rule, re2.compile((rule.begins + rule.goes_on).encode(), options)) for rule in rules]
        self._beginnings = re2.Set.SearchSet(options)
        for rule in rules:
            self._beginnings.Add(rule.begins.encode())
        self._beginnings.Compile()

    def find(self, text: str) -> list[Secret]:
        """Returns the secrets of a text, the first one of each rule, in the order of rules."""
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

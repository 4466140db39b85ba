"""Names with wildcards, as object locators have them: `%`, `_`, `[_]`, `[ab]`, `[a-d]`.

Case counts. An escape character (Oracle's `escapeCharacter` connection attribute) makes the wildcard
after it an ordinary letter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_SINGLE = re.compile(r"\[(.)\]")


@dataclass(frozen=True, slots=True)
class Pattern:
    text: str
    escape: str = ""

    @property
    def exact(self) -> bool:
        """Whether it can be one name only: no `%`, no set of several letters. `_` alone is a letter of
        most names, and DMS takes a name with it where one exact object is asked for."""
        return not re.search(r"%|\[", _SINGLE.sub("", _without_escaped(self.text, self.escape)))

    @property
    def literal(self) -> str:
        """The name that an exact pattern stands for: `dms_sample` of `dms[_]sample`."""
        single = _SINGLE.sub(lambda found: found[1], self.text)
        return re.sub(re.escape(self.escape) + "(.)", r"\1", single) if self.escape else single

    @property
    def everything(self) -> bool:
        return set(self.text) == {"%"}

    def matches(self, name: str) -> bool:
        return _compiled(self.text, self.escape).fullmatch(name) is not None

    def problem(self) -> str | None:
        """What is wrong with it: a set that is not closed, or is empty."""
        bare = _without_escaped(self.text, self.escape)
        if re.search(r"\[[^\]]*$", bare):
            return "a [ that is not closed"
        if "[]" in bare:
            return "an empty set []"
        try:
            _compiled(self.text, self.escape)
        except re.error:
            return "a set whose range descends"
        return None


def _without_escaped(text: str, escape: str) -> str:
    return re.sub(re.escape(escape) + ".", "", text) if escape else text


@lru_cache(maxsize=4096)
def _compiled(text: str, escape: str) -> re.Pattern[str]:
    parts, at = [], 0
    while at < len(text):
        letter = text[at]
        closing = text.find("]", at + 1) if letter == "[" else -1
        if escape and letter == escape and at + 1 < len(text):
            parts.append(re.escape(text[at + 1]))
            at += 1
        elif letter == "%":
            parts.append(".*")
        elif letter == "_":
            parts.append(".")
        elif closing > at + 1:
            parts.append(f"[{_set(text[at + 1 : closing])}]")
            at = closing
        else:
            parts.append(re.escape(letter))
        at += 1
    return re.compile("".join(parts), re.DOTALL)


def _set(members: str) -> str:
    """A hyphen between two members is a range; everything else stands for itself."""
    return "".join(
        letter if letter == "-" and 0 < at < len(members) - 1 else re.escape(letter)
        for at, letter in enumerate(members)
    )

"""Variables in a Dockerfile's words, quotes and backslashes, as the engine reads them.

Source:
    Dockerfile reference, "Environment replacement"; github.com/moby/buildkit, shell/lex.go of its frontend.
    Of the forms with braces these are taken, which all builders read alike: ${NAME}, ${NAME:-word} and
    ${NAME:+word}.
"""

import re
from collections.abc import Mapping

from challenge_bundle.errors import shown

MAX_CHARACTERS = 1 << 15
"""The longest value: variables made of variables grow with each line, in the engine's memory too."""

_MAX_DEPTH = 8
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class SubstitutionError(ValueError):
    """A word is not understood; the message gives the reason."""


def expand(text: str, values: Mapping[str, str], must_be_set: bool = False) -> str:
    """Put values in, and take quotes and backslashes away.

    Args:
        text: One word, or a whole value.
        values: Of the variables that are set.
        must_be_set: Whether a variable without a value is a fault; else it is empty, as the engine has it.

    Raises:
        SubstitutionError: A quote or brace is not closed, a form is none of those above, or it is too long.
    """
    return _Reader(text, values, must_be_set).read()


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, text: str, values: Mapping[str, str], must_be_set: bool) -> None:
        self.text, self.values, self.must_be_set = text, values, must_be_set
        self.position = 0
        self.depth = 0
        self.made = 0

    def read(self, until: str = "") -> str:
        """Read up to a character, which is passed over, or to the end."""
        found: list[str] = []
        while self.position < len(self.text):
            character = self.text[self.position]
            if character == until:
                self.position += 1
                return "".join(found)
            if character == "$":
                found.append(self._variable())
            elif character == "'":
                found.append(self._single_quoted())
            elif character == '"':
                found.append(self._double_quoted())
            else:
                self.position += 1 + (character == "\\")
                found.append(self.text[self.position - 1 : self.position])
        if until:
            raise SubstitutionError(f"has no {until} that closes a variable")
        return "".join(found)

    def _single_quoted(self) -> str:
        end = self.text.find("'", self.position + 1)
        if end < 0:
            raise SubstitutionError("has a single quote that is not closed")
        found = self.text[self.position + 1 : end]
        self.position = end + 1
        return found

    def _double_quoted(self) -> str:
        found: list[str] = []
        self.position += 1
        while self.position < len(self.text):
            character = self.text[self.position]
            if character == '"':
                self.position += 1
                return "".join(found)
            if character == "$":
                found.append(self._variable())
                continue
            if character == "\\" and self.text[self.position + 1 : self.position + 2] in ('"', "$", "\\"):
                self.position += 1
            found.append(self.text[self.position])
            self.position += 1
        raise SubstitutionError("has a double quote that is not closed")

    def _variable(self) -> str:
        self.position += 1
        braced = self.text.startswith("{", self.position)
        name = _NAME.match(self.text, self.position + braced)
        if name is None:
            if braced or not self._ends_here():
                raise SubstitutionError(
                    f"has {shown('$' + self.text[self.position :][:20])}, which is no variable"
                )
            return "$"
        self.position = name.end()
        if braced:
            return self._braced(name[0])
        if not self.text[self.position : self.position + 1].isascii():
            raise SubstitutionError(f"has a letter after ${name[0]} that is not ASCII")
        return self._value(name[0])

    def _ends_here(self) -> bool:
        """Whether a dollar stands alone: no builder takes what follows for a name."""
        return self.text[self.position : self.position + 1] in ("", " ", "\t", '"', "'", "/", ".", ",", "\\")

    def _braced(self, name: str) -> str:
        following = self.text[self.position : self.position + 2]
        if following.startswith("}"):
            self.position += 1
            return self._value(name)
        if following not in (":-", ":+"):
            raise SubstitutionError(
                f"has a form of ${{{name}}} that is not ${{{name}:-...}} or ${{{name}:+...}}"
            )
        self.position += 2
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise SubstitutionError("has variables too deep inside of one another")
        word = self.read("}")
        self.depth -= 1
        value = self._value(name)
        if following == ":+":
            return self._grown(word) if value else ""
        return value or self._grown(word)

    def _value(self, name: str) -> str:
        if self.must_be_set and name not in self.values:
            raise SubstitutionError(f"uses ${name}, which is not set here")
        return self._grown(self.values.get(name, ""))

    def _grown(self, text: str) -> str:
        self.made += len(text)
        if self.made > MAX_CHARACTERS:
            raise SubstitutionError(f"grows to more than {MAX_CHARACTERS} characters")
        return text

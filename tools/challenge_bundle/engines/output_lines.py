"""What a program prints, as lines that a terminal and a file can show."""

import re
from collections.abc import Iterable, Iterator

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

MAX_LINE_CHARACTERS = 2000
"""A longer line of a program's output is shown in pieces."""


def printable(text: str) -> str:
    """A program's line as it may be shown: colours left out, other control characters replaced."""
    text = _COLOUR.sub("", text).replace("\t", "    ")
    return "".join(character if character.isprintable() else "�" for character in text)


def split_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Cut a stream of bytes into printable lines, none longer than MAX_LINE_CHARACTERS."""
    pending = b""
    for chunk in chunks:
        *whole, pending = (pending + chunk).split(b"\n")
        for line in whole:
            yield from _pieces(line)
        while len(pending) > MAX_LINE_CHARACTERS:
            yield _text(pending[:MAX_LINE_CHARACTERS])
            pending = pending[MAX_LINE_CHARACTERS:]
    if pending:
        yield from _pieces(pending)


def _pieces(line: bytes) -> Iterator[str]:
    for start in range(0, max(len(line), 1), MAX_LINE_CHARACTERS):
        yield _text(line[start : start + MAX_LINE_CHARACTERS])


def _text(line: bytes) -> str:
    return printable(line.decode("utf-8", "replace").rstrip("\r"))

"""A Dockerfile as instructions; what is not fully understood is refused with its line.

The engine's parser is lenient, and its two builders differ. Rules on a Dockerfile hold only if it is read
here as the engine reads it: so only what all builders read alike is accepted, and the Dockerfile is written
again from the parse (see build_recipe).

Source:
    Dockerfile reference, "Format", "Parser directives", "Escape"; github.com/moby/buildkit,
    frontend/dockerfile/parser.
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from challenge_bundle.errors import DataError, shown

MAX_BYTES = 1 << 16
"""The engine reads no line that is longer."""

MAX_INSTRUCTIONS = 500

_FLAGS = {
    "FROM": ("platform",),
    "COPY": ("from", "chown"),
    "ADD": ("chown",),
    "HEALTHCHECK": ("interval", "timeout", "start-period", "retries"),
}
"""The flags that an instruction may have."""

_INSTRUCTIONS = (
    *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL"),
    *("MAINTAINER", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
)
_WITH_JSON = ("ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME")
_WITH_HEREDOCS = ("ADD", "COPY", "RUN")
_FLAG = re.compile(r"--([a-z-]+)=([\w$(){}:./,@+-]+)", re.ASCII)
_HEREDOC = re.compile(r"\d*<<-?[^<]+")
_DIRECTIVE = re.compile(r"#\s*(escape|syntax)\s*=\s*(.*?)\s*", re.IGNORECASE)
_OWN_SYNTAX = re.compile(r"(docker\.io/)?docker/dockerfile(:[\w.-]+)?(@sha256:[0-9a-f]{64})?", re.ASCII)
_BLANKS = " \t"


class DockerfileError(DataError):
    """A Dockerfile is refused.

    Args:
        message: What was found, and what was expected.
        row: The line, from 1.
        code: See Finding; `base-image` is also the code of a verdict on a submission.
        hint: What to do.
    """

    def __init__(self, message: str, row: int, *, code: str, hint: str) -> None:
        super().__init__(message, "Dockerfile", row, code=code, hint=hint)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Args:
        name: In capitals, such as `COPY`.
        flags: (name, value) of each that begins with `--`.
        value: The rest in one line, continued lines joined as the engine joins them.
        words: Of a JSON form; None in any other form.
        line: Where it begins, from 1.
    """

    name: str
    flags: tuple[tuple[str, str], ...]
    value: str
    words: tuple[str, ...] | None
    line: int

    def flag(self, name: str) -> str:
        """The value of a flag; empty if it is not given."""
        return dict(self.flags).get(name, "")

    def fault(self, message: str, *, code: str, hint: str) -> DockerfileError:
        """An error at this instruction."""
        return DockerfileError(message, self.line, code=code, hint=hint)


def parse_dockerfile(text: str) -> tuple[Instruction, ...]:
    """Split a Dockerfile into its instructions.

    Args:
        text: Of at most MAX_BYTES in UTF-8. Time and memory grow with its length alone.

    Raises:
        DockerfileError: Something in it is not understood, or is read otherwise by one of the builders.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise DockerfileError(
            f"is larger than {MAX_BYTES >> 10} KB",
            1,
            code="dockerfile-size",
            hint="move long steps into a script",
        )
    # Not splitlines: the engine's lines end at a line feed alone.
    lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
    _check_directives(lines)
    instructions: list[Instruction] = []
    position = 0
    while position < len(lines):
        number = position + 1
        joined, position = _join(lines, position)
        if joined:
            instructions.append(_parse_instruction(joined, number))
        if len(instructions) > MAX_INSTRUCTIONS:
            what = f"has more than {MAX_INSTRUCTIONS} instructions"
            raise DockerfileError(
                what,
                number,
                code="dockerfile-instruction-count",
                hint="join RUN lines with && or call a script",
            )
    if not instructions:
        raise DockerfileError(
            "has no instruction", 1, code="dockerfile-empty", hint="begin with FROM and a base image"
        )
    return tuple(instructions)


def is_printable(text: str) -> bool:
    """Whether a text has no control, format or space characters but the plain space and the tab."""
    return text.replace("\t", "").isprintable()


def split_words(text: str) -> list[str]:
    """Split at blanks outside of quotes, as ENV, LABEL and ARG are; quotes and backslashes are kept."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    characters = iter(text)
    for character in characters:
        if not quote and character in _BLANKS:
            if word:
                words.append("".join(word))
            word = []
            continue
        word.append(character)
        if character == "\\" and quote != "'":
            word.append(next(characters, ""))
        elif character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
    return [*words, "".join(word)] if word else words


def _check_directives(lines: Sequence[str]) -> None:
    """Refuse what would have the file read in another way: another escape character, another language."""
    for number, line in enumerate(lines, start=1):
        line = line.strip(_BLANKS)
        if line and not line.startswith("#"):
            return
        directive = _DIRECTIVE.fullmatch(line)
        if directive is None:
            continue
        kind, value = directive[1].lower(), directive[2]
        if kind == "escape" and value != "\\":
            hint = "leave the line out, and continue lines with a backslash"
            raise DockerfileError(
                "sets another escape character", number, code="dockerfile-escape-directive", hint=hint
            )
        if kind == "syntax" and not _OWN_SYNTAX.fullmatch(value):
            hint = "leave the line out; the standard syntax is read"
            raise DockerfileError(
                f"asks for the syntax {shown(value)}", number, code="dockerfile-syntax-directive", hint=hint
            )


def _join(lines: Sequence[str], position: int) -> tuple[str, int]:
    """Join an instruction's lines; gives it, empty for a comment or blank line, and where the next begins."""
    start = position
    parts: list[str] = []
    continues = True
    while continues and position < len(lines):
        line = lines[position]
        position += 1
        if line.lstrip(_BLANKS).startswith("#"):
            # Between continued lines, comments and blank lines are passed over.
            if position - 1 == start:
                return "", position
            continue
        _check_characters(line, position)
        stripped = line.rstrip(_BLANKS)
        if not stripped and position - 1 > start:
            continue
        continues = stripped.endswith("\\")
        parts.append(stripped[:-1] if continues else line)
    joined = "".join(parts).strip(_BLANKS)
    if joined.endswith("\\") or (continues and not joined):
        raise DockerfileError(
            "ends with a backslash",
            start + 1,
            code="dockerfile-open-continuation",
            hint="leave the backslash out",
        )
    return joined, position


def _check_characters(line: str, number: int) -> None:
    if is_printable(line):
        return
    column, odd = next((n, c) for n, c in enumerate(line, start=1) if c != "\t" and not c.isprintable())
    name = unicodedata.name(odd, "a control character")
    what = f"holds U+{ord(odd):04X} ({name}) in column {column}"
    raise DockerfileError(
        what,
        number,
        code="dockerfile-invisible-character",
        hint="use plain spaces, and leave invisible characters out",
    )


def _parse_instruction(joined: str, line: int) -> Instruction:
    name, *more = re.split(r"[ \t]+", joined, maxsplit=1)
    if not name.isascii() or name.upper() not in _INSTRUCTIONS:
        if name.upper() == "ONBUILD":
            what = "ONBUILD would run in images that are built on this one"
            raise DockerfileError(what, line, code="base-image", hint="use the instruction without ONBUILD")
        what = f"{shown(name)} is not an instruction that is accepted"
        hint = "use one such as RUN or COPY; a line that goes on needs a backslash at its end"
        raise DockerfileError(what, line, code="dockerfile-instruction", hint=hint)
    name = name.upper()
    rest = more[0] if more else ""
    flags: list[tuple[str, str]] = []
    while rest.startswith("--"):
        word, *more = re.split(r"[ \t]+", rest, maxsplit=1)
        flags.append(_parse_flag(name, word, line))
        rest = more[0] if more else ""
    if not rest:
        raise DockerfileError(
            f"{name} has no value",
            line,
            code="dockerfile-no-value",
            hint="give it one, or leave the line out",
        )
    if len({flag for flag, _ in flags}) < len(flags):
        raise DockerfileError(
            f"{name} has the same flag twice", line, code="dockerfile-duplicate-flag", hint="leave one out"
        )
    words = _parse_json(name, rest, line) if name in _WITH_JSON and rest.startswith("[") else None
    if name in _WITH_HEREDOCS and words is None and _has_heredoc(rest):
        hint = "put the lines into a file of their own and COPY it"
        raise DockerfileError(
            f"{name} with a heredoc, which not every builder knows",
            line,
            code="dockerfile-heredoc",
            hint=hint,
        )
    return Instruction(name, tuple(flags), rest, words, line)


def _parse_flag(name: str, word: str, line: int) -> tuple[str, str]:
    flag = _FLAG.fullmatch(word)
    if flag is not None and flag[1] in _FLAGS.get(name, ()):
        return flag[1], flag[2]
    known = " or ".join(f"--{flag}=..." for flag in _FLAGS.get(name, ()))
    hint = f"use {known}, without quotes and backslashes" if known else "leave the flag out"
    what = f"{name} has the flag {shown(word)}, which is not accepted"
    if "from" in word:
        # A mount of files of another image.
        raise DockerfileError(what, line, code="base-image", hint=hint)
    raise DockerfileError(what, line, code="dockerfile-flag", hint=hint)


def _parse_json(name: str, text: str, line: int) -> tuple[str, ...] | None:
    """Read a JSON form; None if it is none to the engine either, such as `[ -f x ] && y`."""

    def refuse_constant(_: str) -> None:
        raise ValueError

    try:
        words = json.loads(text, parse_constant=refuse_constant)
    except RecursionError:
        raise DockerfileError(
            f"{name} is nested too deep", line, code="dockerfile-json-form", hint="give a list of strings"
        ) from None
    except ValueError:
        if name in ("SHELL", "VOLUME") or text.startswith(("['", '["')):
            hint = 'write it as ["a", "b"], with commas and double quotes'
            raise DockerfileError(
                f"{name} is not valid JSON", line, code="dockerfile-json-form", hint=hint
            ) from None
        return None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise DockerfileError(
            f"{name} is not a list of strings",
            line,
            code="dockerfile-json-form",
            hint='write it as ["a", "b"]',
        )
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for word in words for character in word):
        raise DockerfileError(
            f"{name} has a character that is not valid Unicode",
            line,
            code="dockerfile-json-form",
            hint="write it in UTF-8",
        )
    return tuple(words)


def _has_heredoc(text: str) -> bool:
    """Whether a builder that knows heredocs would see one."""
    words = split_words(text) if text.count('"') % 2 == text.count("'") % 2 == 0 else text.split()
    return any(_HEREDOC.fullmatch(word) for word in words)

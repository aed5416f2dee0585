"""The few things that packing and checking need to know of a Dockerfile.

Docker's own parser is only reachable by building, and the parsers published for Python read no heredocs and
no flags; what is asked here (which local files are copied, what is run, as whom) takes little.
"""

import itertools
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_WITH_HEREDOCS = ("RUN", "COPY", "ADD")
_HEREDOC = re.compile(r"\d*<<-?['\"]?([A-Za-z_]\w*)['\"]?")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Args:
        name: In capitals, such as `COPY`.
        flags: What begins with `--`.
        value: The rest, continued lines joined.
        line: Where it begins, from 1.
    """

    name: str
    flags: tuple[str, ...]
    value: str
    line: int

    @property
    def words(self) -> tuple[str, ...]:
        """The value's words, from its shell or its JSON form."""
        if self.value.startswith("["):
            try:
                words = json.loads(self.value)
            except ValueError:
                return ()
            return tuple(str(word) for word in words) if isinstance(words, list) else ()
        try:
            return tuple(shlex.split(self.value))
        except ValueError:
            return tuple(self.value.split())


def parse_dockerfile(text: str) -> list[Instruction]:
    """Split a Dockerfile into its instructions; comments, blank lines and heredoc bodies are passed over.

    Source:
        Dockerfile reference, "Format", "Escape", "Here-documents".
    """
    instructions: list[Instruction] = []
    lines = enumerate(text.splitlines(), start=1)
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = [line.strip()]
        while parts[-1].endswith("\\"):
            parts[-1] = parts[-1][:-1] + " "
            following = next((text for _, text in lines if not text.lstrip().startswith("#")), None)
            if following is None:
                break
            parts.append(following.strip())
        name, _, rest = "".join(parts).partition(" ")
        words = rest.split()
        if name.upper() in _WITH_HEREDOCS:
            for heredoc in filter(None, map(_HEREDOC.fullmatch, words)):
                next((None for _, body in lines if body.strip() == heredoc[1]), None)
        flags = tuple(itertools.takewhile(lambda word: word.startswith("--"), words))
        value = rest.split(maxsplit=len(flags))[len(flags) :]
        instructions.append(Instruction(name.upper(), flags, "".join(value).rstrip(), number))
    return instructions


def is_pattern(source: str) -> bool:
    """Tell whether a source has wildcards, so that it may match nothing."""
    return any(character in source for character in "*?[")


def copied_sources(instructions: Sequence[Instruction]) -> list[tuple[str, int]]:
    """List what COPY and ADD take from the build context.

    Returns:
        (source as written, line) of each; those from another stage (`--from`), of a URL and of a heredoc
        left out.
    """
    sources: list[tuple[str, int]] = []
    for instruction in instructions:
        if instruction.name not in ("COPY", "ADD"):
            continue
        if any(flag.startswith("--from=") for flag in instruction.flags):
            continue
        sources += [
            (source, instruction.line)
            for source in instruction.words[:-1]
            if not re.match(r"(https?|git)://|git@|<<", source)
        ]
    return sources


def base_images(instructions: Sequence[Instruction], arguments: Mapping[str, str]) -> list[str]:
    """List the images that a Dockerfile takes anything from.

    Args:
        instructions: Of the Dockerfile.
        arguments: Values of its ARGs that are given to the build.

    Returns:
        Names with ARGs put in, stages of its own and `scratch` left out.

    Source:
        Dockerfile reference, "FROM" and "COPY --from".
    """
    values: dict[str, str] = {}
    stages: set[str] = {"scratch"}
    found: list[str] = []
    count = 0
    for instruction in instructions:
        if instruction.name == "ARG" and not count:
            for word in instruction.words:
                name, _, default = word.partition("=")
                values[name] = arguments.get(name, default)
        elif instruction.name == "FROM":
            words = [*instruction.words, "", "", ""]
            image = _put_in(words[0], values)
            if image.casefold() not in stages:
                found.append(image)
            # Stages are known by name, without regard to capitals, and by number.
            stages |= {str(count), words[2].casefold()} if words[1].upper() == "AS" else {str(count)}
            count += 1
        else:
            taken = (flag.removeprefix("--from=") for flag in instruction.flags if flag.startswith("--from="))
            found += [_put_in(name, values) for name in taken if name.casefold() not in stages]
    return found


def _put_in(text: str, values: Mapping[str, str]) -> str:
    """Replace $NAME, ${NAME} and ${NAME:-default}."""

    def value(match: "re.Match[str]") -> str:
        return values.get(match["plain"] or match["braced"], "") or match["default"] or ""

    return re.sub(r"\$(?:(?P<plain>\w+)|\{(?P<braced>\w+)(?::-(?P<default>[^}$]*))?\})", value, text)

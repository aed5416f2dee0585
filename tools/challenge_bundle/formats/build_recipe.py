"""What a Dockerfile does, and a Dockerfile that is written again from that: the engine gets this one alone.

What a rule depends on (base images, stages, what is copied from the context) is resolved here and written out
in a form that cannot be read otherwise. Everything else is written as it was parsed, one instruction a line.

Source:
    Dockerfile reference, "FROM", "Scope", "Environment replacement"; of the engine, builder/dockerfile
    (dispatchers.go, buildargs.go).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from challenge_bundle.errors import shown
from challenge_bundle.formats.container_image_name import canonical_image
from challenge_bundle.formats.dockerfile import (
    MAX_BYTES,
    DockerfileError,
    Instruction,
    is_printable,
    parse_dockerfile,
    split_words,
)
from challenge_bundle.formats.dockerfile_copy import resolve_source
from challenge_bundle.formats.dockerfile_variables import MAX_CHARACTERS, SubstitutionError, expand

SCRATCH = "scratch"
DEFAULT_SHELL = ("/bin/sh", "-c")
_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_PLATFORM = re.compile(r"linux/[a-z0-9]+(/v[0-9]+)?", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class BaseConfig:
    """What an image gives to those that are built on it.

    Args:
        environment: Its variables.
        shell: What runs a RUN that is no JSON form.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    shell: tuple[str, ...] = DEFAULT_SHELL


@dataclass(frozen=True, slots=True)
class Base:
    """An image that a stage is built on.

    Args:
        name: In full; see canonical_image.
        platform: That it must have; empty if none is asked for.
        line: Of its FROM.
        has_version: Whether the Dockerfile writes a tag or a digest.
    """

    name: str
    platform: str
    line: int
    has_version: bool


@dataclass(frozen=True, slots=True)
class Copied:
    """A COPY or ADD from the context.

    Args:
        sources: Paths or patterns.
        line: Of the instruction.
        unpacks: Whether it is an ADD, which would unpack an archive.
    """

    sources: tuple[str, ...]
    line: int
    unpacks: bool


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a Dockerfile does.

    Args:
        lines: The Dockerfile written again.
        bases: The images it is built on, `scratch` and its own stages left out.
        copies: What it takes from the context.
        arguments: Names of its ARGs.
        user: The last stage's USER; empty if there is none, or nobody knows before it is built.
        has_command: Whether the last stage names what is run.
        volume_lines: Where it declares volumes.
    """

    lines: tuple[str, ...]
    bases: tuple[Base, ...]
    copies: tuple[Copied, ...]
    arguments: frozenset[str]
    user: str
    has_command: bool
    volume_lines: tuple[int, ...]

    @property
    def text(self) -> str:
        """The Dockerfile written again."""
        return "\n".join(self.lines) + "\n"


def read_recipe(
    text: str, arguments: Mapping[str, str], configs: Mapping[str, BaseConfig] | None = None
) -> Recipe:
    """Read a Dockerfile; no engine is asked.

    Args:
        text: Of the Dockerfile.
        arguments: Values that are given to the build for its ARGs.
        configs: Of base images, by their canonical names, as far as they are known.

    Raises:
        DockerfileError: It is not understood, or takes from where nothing may be taken.
    """
    reader = _Reader(arguments, configs or {})
    for step in parse_dockerfile(text):
        try:
            line = reader.write(step)
        except SubstitutionError as fault:
            hint = "write the value out, or use $NAME, ${NAME}, ${NAME:-word} or ${NAME:+word}"
            raise step.fault(f"{step.name} {fault}", code="dockerfile-variable", hint=hint) from None
        if len(line.encode()) >= MAX_BYTES:
            hint = "move it into a script that is copied"
            raise step.fault(
                f"{step.name} is {len(line.encode()):,} bytes long; fewer than {MAX_BYTES:,} are read",
                code="dockerfile-instruction-size",
                hint=hint,
            )
        reader.lines.append(line)
    return reader.recipe()


@dataclass(slots=True)
class _Stage:
    """What is known at one place of a stage.

    Args:
        environment: ENV, its base's among them.
        shell: What runs a RUN that is no JSON form; None if nobody knows.
        arguments: Values of the ARGs declared so far; None for one without a value.
        user: USER so far.
        has_command: Whether CMD or ENTRYPOINT stood there, or may stand in its base.
    """

    environment: dict[str, str]
    shell: tuple[str, ...] | None
    arguments: dict[str, str | None] = field(default_factory=dict)
    user: str = ""
    has_command: bool = False

    @property
    def values(self) -> dict[str, str]:
        """What variables stand for: ENV counts before ARG."""
        given = {name: value for name, value in self.arguments.items() if value is not None}
        return given | self.environment


class _Reader:
    """Goes through the instructions and writes each again."""

    def __init__(self, given: Mapping[str, str], configs: Mapping[str, BaseConfig]) -> None:
        self.given, self.configs = given, configs
        self.global_arguments: dict[str, str | None] = {}
        self.stages: list[_Stage] = []
        self.numbers: dict[str, int] = {}
        self.lines: list[str] = []
        self.bases: list[Base] = []
        self.copies: list[Copied] = []
        self.declared: set[str] = set()
        self.volume_lines: list[int] = []

    def recipe(self) -> Recipe:
        """The result."""
        if not self.stages:
            raise DockerfileError(
                "does not begin with FROM", 1, code="dockerfile-no-from", hint="name the base image first"
            )
        last = self.stages[-1]
        lines, bases, copies = tuple(self.lines), tuple(self.bases), tuple(self.copies)
        declared, volumes = frozenset(self.declared), tuple(self.volume_lines)
        return Recipe(lines, bases, copies, declared, last.user, last.has_command, volumes)

    def write(self, step: Instruction) -> str:
        """Take an instruction in; gives the line that stands for it."""
        if step.name == "FROM":
            return self._from(step)
        if not self.stages:
            if step.name != "ARG":
                raise step.fault(
                    "does not begin with FROM", code="dockerfile-no-from", hint="name the base image first"
                )
            return self._argument(step, self.global_arguments)
        stage = self.stages[-1]
        match step.name:
            case "ARG":
                return self._argument(step, stage.arguments)
            case "ENV" | "LABEL":
                return self._pairs(step, stage)
            case "COPY" | "ADD":
                return self._copy(step, stage)
            case "RUN" | "CMD" | "ENTRYPOINT" | "SHELL":
                return self._command(step, stage)
            case "HEALTHCHECK":
                return self._healthcheck(step)
            case "VOLUME":
                self.volume_lines.append(step.line)
            case "USER":
                stage.user = expand(step.value, stage.values)
        if step.name != "MAINTAINER":
            expand(step.value, stage.values)
        return f"{step.name} {step.value}"

    def _from(self, step: Instruction) -> str:
        words = step.value.split()
        if not step.value.isascii() or len(words) not in (1, 3) or (words[1:] and words[1].upper() != "AS"):
            raise step.fault(
                f"expected FROM image or FROM image AS name, but got FROM {shown(step.value)}",
                code="dockerfile-from-form",
                hint="correct the line",
            )
        name = words[2].lower() if words[1:] else ""
        if name and (not _STAGE_NAME.fullmatch(name) or name in self.numbers or name == SCRATCH):
            what = f"the stage's name {shown(name)} is not valid, or is there already"
            raise step.fault(
                what, code="dockerfile-stage-name", hint="use a letter, then letters, digits, '-', '_' or '.'"
            )
        if any(character in words[0] for character in "\\'\"`"):
            raise step.fault("FROM with a quote or a backslash", code="base-image", hint="leave it out")
        taken = expand(words[0], self._global_values())
        written, stage = self._base(taken, step)
        self.numbers |= {name: len(self.stages)} if name else {}
        self.stages.append(stage)
        return f"FROM {written} AS {name}" if name else f"FROM {written}"

    def _base(self, taken: str, step: Instruction) -> tuple[str, _Stage]:
        platform = step.flag("platform")
        if platform and not _PLATFORM.fullmatch(platform):
            hint = "leave --platform out, or write --platform=linux/amd64"
            raise step.fault(f"FROM for the platform {shown(platform)}", code="base-image", hint=hint)
        if taken.lower() in self.numbers:
            base = self.stages[self.numbers[taken.lower()]]
            stage = _Stage(dict(base.environment), base.shell, {}, base.user, base.has_command)
            return taken.lower(), stage
        if taken == SCRATCH:
            return SCRATCH, _Stage({}, DEFAULT_SHELL)
        image = canonical_image(taken)
        if image is None:
            what = f"FROM {shown(taken)}, which is not the name of an image"
            raise step.fault(what, code="base-image", hint="write it as name:tag")
        has_version = bool(re.search(r"[:@][^/]*$", taken))
        self.bases.append(Base(image, platform, step.line, has_version))
        config = self.configs.get(image)
        if config is None:
            return image, _Stage({}, None)
        return image, _Stage(dict(config.environment), config.shell)

    def _global_values(self) -> dict[str, str]:
        return {name: value for name, value in self.global_arguments.items() if value is not None}

    def _argument(self, step: Instruction, arguments: dict[str, str | None]) -> str:
        is_global = not self.stages
        values = self._global_values() if is_global else self.stages[-1].values
        found: dict[str, str | None] = {}
        words = split_words(step.value)
        for word in words:
            name, has_default, default = word.partition("=")
            if not _VARIABLE.fullmatch(name):
                raise step.fault(
                    f"ARG {shown(name)} is not a name",
                    code="dockerfile-argument-name",
                    hint="use letters, digits and '_'",
                )
            self.declared.add(name)
            inherited = None if is_global else self.global_arguments.get(name)
            value = expand(default, values) if has_default else inherited
            found[name] = self.given.get(name, value)
        arguments |= found
        return f"ARG {' '.join(words)}"

    def _pairs(self, step: Instruction, stage: _Stage) -> str:
        words = split_words(step.value)
        values = stage.values
        if "=" not in words[0]:
            # The old form: the name, then all the rest.
            name, *rest = re.split(r"[ \t]+", step.value, maxsplit=1)
            pairs = [(name, rest[0] if rest else "")]
            written = step.value
        else:
            pairs = [(name, value) for name, _, value in (word.partition("=") for word in words)]
            written = " ".join(words)
            if not all("=" in word for word in words):
                raise step.fault(
                    f"{step.name} has a word without '='", code="dockerfile-pair", hint="write NAME=value"
                )
        found = {expand(name, values): expand(value, values) for name, value in pairs}
        if "" in found or any("=" in name for name in found) or "" in dict(pairs):
            raise step.fault(
                f"{step.name} has an empty name, or '=' in one",
                code="dockerfile-pair",
                hint="write NAME=value",
            )
        if "=" not in words[0] and not pairs[0][1]:
            raise step.fault(f"{step.name} has no value", code="dockerfile-no-value", hint="write NAME=value")
        if step.name == "ENV":
            stage.environment |= found
            if sum(map(len, stage.environment.values())) > MAX_CHARACTERS:
                raise SubstitutionError(f"grows the environment to more than {MAX_CHARACTERS} characters")
        return f"{step.name} {written}"

    def _copy(self, step: Instruction, stage: _Stage) -> str:
        words = step.words if step.words is not None else tuple(step.value.split())
        if len(words) < 2:
            raise step.fault(
                f"{step.name} has no target",
                code="dockerfile-copy-target",
                hint="write the sources, then the target",
            )
        if not all(map(is_printable, words)) or not all(words):
            raise step.fault(
                f"{step.name} has a path that is empty or does not print",
                code="dockerfile-copy-path",
                hint="rename the file in plain letters",
            )
        for word in words:
            expand(word, stage.values)
        flags = ""
        if chown := step.flag("chown"):
            expand(chown, stage.values)
            flags = f"--chown={chown} "
        if step.flag("from"):
            flags = f"--from={self._stage_number(step)} {flags}"
        else:
            sources = tuple(resolve_source(word, step, stage.values) for word in words[:-1])
            self.copies.append(Copied(sources, step.line, step.name == "ADD"))
            words = (*sources, words[-1])
        # Never ADD: it fetches and unpacks.
        return f"COPY {flags}{json.dumps(words)}"

    def _stage_number(self, step: Instruction) -> int:
        wanted = step.flag("from")
        current = len(self.stages) - 1
        number = (
            int(wanted) if re.fullmatch(r"[0-9]{1,3}", wanted, re.ASCII) else self.numbers.get(wanted.lower())
        )
        if number is None or number >= current:
            what = f"COPY --from={shown(wanted)} names no earlier stage of this Dockerfile"
            hint = "name one; to take files of an image, begin a stage with FROM image AS name"
            raise step.fault(what, code="base-image", hint=hint)
        return number

    def _command(self, step: Instruction, stage: _Stage) -> str:
        words = step.words
        if step.name == "SHELL":
            if not words:
                raise step.fault(
                    "SHELL is not a JSON form",
                    code="dockerfile-json-form",
                    hint='write it as ["/bin/sh", "-c"]',
                )
            stage.shell = words
        elif step.name != "RUN":
            stage.has_command = stage.has_command or words != ()
        elif words == ():
            raise step.fault(
                "RUN has no command", code="dockerfile-no-command", hint="give it one, or leave the line out"
            )
        if words is None:
            if stage.shell is None:
                return f"{step.name} {step.value}"
            words = (*stage.shell, step.value)
        return f"{step.name} {json.dumps(words)}"

    def _healthcheck(self, step: Instruction) -> str:
        kind, *rest = re.split(r"[ \t]+", step.value, maxsplit=1)
        if not (kind.upper() == "NONE" and not rest and not step.flags) and not (
            kind.upper() == "CMD" and rest
        ):
            raise step.fault(
                "HEALTHCHECK is neither NONE nor CMD", code="dockerfile-healthcheck", hint="leave it out"
            )
        if rest and rest[0].startswith(("['", '["')):
            try:
                words = json.loads(rest[0])
            except (ValueError, RecursionError):
                words = None
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise step.fault(
                    "HEALTHCHECK is not valid JSON",
                    code="dockerfile-healthcheck",
                    hint='write CMD ["a", "b"]',
                )
        flags = "".join(f"--{name}={value} " for name, value in step.flags)
        return f"HEALTHCHECK {flags}{' '.join([kind.upper(), *rest])}"

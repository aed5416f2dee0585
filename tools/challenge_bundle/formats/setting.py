"""One setting, declared once: bundle.toml, options, requests and the reference page are made from it."""

# Why not a library: pydantic takes 90 ms to import, more than all of `bundle --help`, and each of its errors
# would have to be rewritten to name the line of the file and what to do; attrs with cattrs has no ranges and
# descriptions to make help and pages from. The metadata of the standard library's dataclasses carry them.

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

from challenge_bundle.errors import ManifestError
from challenge_bundle.formats.toml_table import TomlTable, to_toml

SHOWN_CHARACTERS = 80
_KEY = "setting"

REQUIRED: Any = object()
"""Default of a setting that every bundle has to give a value."""

Size = tuple[int, int]
Shares = tuple[float, float, float]
Texts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """A type that a setting can have.

    Args:
        words: What a value is, for messages and the reference page.
        accepts: Whether a value of a TOML document is one.
        make: That value as the dataclass holds it.
    """

    words: str
    accepts: Callable[[Any], bool]
    make: Callable[[Any], Any]


def _list_of(value: Any, count: int | None, *kinds: type) -> bool:
    is_long = isinstance(value, list) and count in (None, len(value))
    return is_long and all(type(item) in kinds and item != "" for item in value)


KINDS: Mapping[Any, Kind] = {
    bool: Kind("true or false", lambda value: isinstance(value, bool), bool),
    int: Kind("a whole number", lambda value: type(value) is int, int),
    float: Kind("a number", lambda value: type(value) in (int, float), float),
    str: Kind("a text", lambda value: isinstance(value, str) and value != "", str),
    Texts: Kind("a list of texts", lambda value: _list_of(value, None, str), tuple),
    Size | None: Kind("[width, height] in pixels", lambda value: _list_of(value, 2, int), tuple),
    Shares: Kind("a list of three numbers", lambda value: _list_of(value, 3, int, float), tuple),
    datetime | None: Kind(
        "a date with time",
        lambda value: isinstance(value, datetime),
        lambda value: value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC),
    ),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting, as its dataclass field declares it.

    Args:
        help: What it is, in one sentence, for --help and the reference page.
        example: A value, for the reference page and hints.
        low: Least number.
        high: Largest number.
        choices: All texts that are accepted.
        pattern: Regular expression that a text has to match in full.
        check: Whether a value of the right type is accepted; of a list of texts, whether a text is.
        expected: What a value has to be, where type, range and choices are not all of it.
        default_words: What the default means, where its value does not show it.
        metavar: What the value of the command's option is called.
        env: Environment variable that sets the command's option.
        in_kit: Whether a kit's bundle.toml shows it: a rule of the challenge, which participants need.
        name: Of the field.
        kind: Type of the field, one of KINDS.
        default: Of the field, or REQUIRED.
    """

    help: str
    example: Any
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    check: Callable[[Any], bool] | None = None
    expected: str = ""
    default_words: str = ""
    metavar: str | None = None
    env: str | None = None
    in_kit: bool = False
    name: str = ""
    kind: Any = None
    default: Any = REQUIRED

    @property
    def values(self) -> str:
        """What a value has to be."""
        if self.expected:
            return self.expected
        words = " or ".join(self.choices) or KINDS[self.kind].words
        return words if self.low is None else f"{words} from {self.low} to {self.high}"

    @property
    def line(self) -> str:
        """The setting with its example, as a line of bundle.toml."""
        return f"{self.name} = {to_toml(self.example)}"

    def accept(self, value: Any) -> Any:
        """A value of a TOML document, or of a command line, as the dataclass holds it.

        Raises:
            TypeError: It is of another type.
            ValueError: It is out of range, or otherwise not accepted.
        """
        kind = KINDS[self.kind]
        if not kind.accepts(value):
            raise TypeError(f"expected {self.values} but got {_shown(value)}")
        for item in value if self.kind == Texts else [value]:
            if not self._accepts(item):
                raise ValueError(f"expected {self.values} but got {_shown(item)}")
        return kind.make(value)

    def _accepts(self, value: Any) -> bool:
        if self.low is not None and self.high is not None:
            numbers = value if isinstance(value, list) else [value]
            return all(self.low <= number <= self.high for number in numbers)
        return (
            (not self.choices or value in self.choices)
            and (not self.pattern or re.fullmatch(self.pattern, value) is not None)
            and (self.check is None or self.check(value))
        )


def setting(help: str, default: Any = REQUIRED, **more: Any) -> Any:
    """A dataclass field that is a setting; see Setting for its arguments."""
    metadata = {_KEY: Setting(help=help, default=default, **more)}
    return field(default=MISSING if default is REQUIRED else default, metadata=metadata)


def settings_of(cls: type) -> dict[str, Setting]:
    """The settings that a dataclass declares, by name: its own first, then those of the classes below it."""
    own = cls.__annotations__
    return {
        one.name: replace(one.metadata[_KEY], name=one.name, kind=one.type)
        for one in sorted(fields(cls), key=lambda one: one.name not in own)
        if _KEY in one.metadata
    }


def read_settings(cls: type, table: TomlTable, defaults: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read and check a dataclass's settings from a table of bundle.toml.

    Args:
        cls: The dataclass.
        table: The table.
        defaults: Values of settings that the table lacks, instead of those of the dataclass.

    Raises:
        ManifestError: A setting is missing, of another type, or not accepted.
    """
    return {
        name: _read(one, table, (defaults or {}).get(name, one.default))
        for name, one in settings_of(cls).items()
    }


def _read(one: Setting, table: TomlTable, default: Any) -> Any:
    value = table.get(one.name)
    if value is None and default is REQUIRED:
        raise ManifestError(
            f"'{table.key(one.name)}' is missing",
            *table.place(one.name),
            code="setting-missing",
            hint=f"add a line such as {one.line}",
        )
    if value is None:
        return default
    try:
        return one.accept(value)
    except TypeError as fault:
        raise ManifestError(
            f"'{table.key(one.name)}': {fault}",
            *table.place(one.name),
            code="setting-type",
            hint=f"write it as in {one.line}",
        ) from None
    except ValueError as fault:
        raise ManifestError(
            f"'{table.key(one.name)}': {fault}",
            *table.place(one.name),
            code="setting-value",
            hint=f"write it as in {one.line}",
        ) from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."

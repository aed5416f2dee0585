"""program.toml, in a program's own folder: what the program writes."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from challenge_bundle.errors import ManifestError
from challenge_bundle.formats.setting import Texts, read_settings, setting
from challenge_bundle.formats.toml_table import TomlTable, refuse_unknown

NAME = "program.toml"
MAX_BYTES = 1 << 16
CURVES = "tensorboard"
CHECK, PRIVATE, PARTS, COMPARE = MODES = ("check", "private", "parts", "compare")
"""What a scoring program may understand besides `score.py IN OUT`; see docs/file-formats.md."""

_PART = r"(?!\.{1,2}(/|$))[^/\\*?\[\]\x00-\x1f\x7f]{1,200}"
_FILE = re.compile(rf"{_PART}(/{_PART}){{0,7}}")


def _is_file(name: str) -> bool:
    return _FILE.fullmatch(name) is not None and name.split("/")[0] != CURVES


def _is_temporary(name: str) -> bool:
    return _is_file(name.rstrip("/"))


@dataclass(frozen=True, slots=True)
class Written:
    """What a program writes; all names are relative to its output folder."""

    outputs: Texts = setting(
        "Files that the program must write; the next program reads them.",
        check=_is_file,
        expected=f"files below the output folder and outside {CURVES}/ (which is always kept)",
        example=["forest.pkl"],
    )
    temporary: Texts = setting(
        "Files and folders that are of no use after a run that ended well.",
        (),
        check=_is_temporary,
        expected=f"files or folders below the output folder and outside {CURVES}/ (which is always kept)",
        example=["checkpoint.pkl"],
    )

    modes: Texts = setting(
        "What a scoring program understands besides `score.py IN OUT`.",
        (),
        choices=MODES,
        default_words="none: it is called once for each split of the test set",
        example=["private", "parts"],
    )

    def is_temporary(self, name: str) -> bool:
        """Whether a file is, or lies in, one of the temporary ones."""
        return any(name == left or name.startswith(f"{left}/") for left in self.temporary)


def read_program_toml(folder: Path, default: tuple[str, ...]) -> Written:
    """Read what a program writes.

    Args:
        folder: The program's.
        default: Its outputs without a program.toml.

    Raises:
        ManifestError: Not UTF-8 or not TOML, an unknown key, or a name that is no plain relative path.
    """
    path = folder / NAME
    if not path.is_file():
        return Written(default)
    content = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b"\xff"
    try:
        text = content.decode("utf-8")
        document = tomllib.loads(text)
    except UnicodeDecodeError:
        raise ManifestError(
            "expected a UTF-8 text of at most 64 KB", path, code="manifest-not-utf8", hint="save it as UTF-8"
        ) from None
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
        raise ManifestError(
            f"not valid TOML: {fault}", path, code="manifest-not-toml", hint="correct the line it names"
        ) from None
    table = TomlTable(document, (), text, path)
    read = read_settings(Written, table, {"outputs": default})
    refuse_unknown(table)
    for name, values in read.items():
        if len(set(values)) != len(values):
            twice = next(value for value in values if values.count(value) > 1)
            raise ManifestError(
                f"'{name}': {twice!r} appears twice",
                *table.place(name),
                code="setting-duplicate",
                hint="name each file once",
            )
    temporary = tuple(name.rstrip("/") for name in read["temporary"])
    written = Written(read["outputs"], temporary, read["modes"])
    for name in written.outputs:
        if written.is_temporary(name):
            raise ManifestError(
                f"'temporary' contains {name!r}, which is one of 'outputs'",
                *table.place("temporary"),
                code="setting-contradiction",
                hint="keep one of the two",
            )
    return written

"""program.toml, in a program's own folder: what the program writes."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from challenge_bundle.errors import ManifestError
from challenge_bundle.formats.toml_table import TomlTable

NAME = "program.toml"
MAX_BYTES = 1 << 16
CURVES = "tensorboard"

_PART = r"(?!\.{1,2}(/|$))[^/\\*?\[\]\x00-\x1f\x7f]{1,200}"
_FILE = re.compile(rf"{_PART}(/{_PART}){{0,7}}")


@dataclass(frozen=True, slots=True)
class Written:
    """What a program writes; all names are relative to its output folder.

    Args:
        outputs: Files that it must write; the next program reads them.
        temporary: Files and folders that are of no use once it has ended well.
    """

    outputs: tuple[str, ...]
    temporary: tuple[str, ...] = ()

    def is_temporary(self, name: str) -> bool:
        """Tell whether a file is, or lies in, one of the temporary ones."""
        return any(name == left or name.startswith(f"{left}/") for left in self.temporary)


def read_program_toml(folder: Path, default: tuple[str, ...]) -> Written:
    """Read what a program says of itself.

    Args:
        folder: The program's.
        default: Its outputs if it says nothing.

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
        raise ManifestError(f"{path}: not a UTF-8 text of at most 64 KB") from None
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
        raise ManifestError(f"{path}: not valid TOML: {fault}") from None
    table = TomlTable(document, (), text, path)
    declares = table.get("outputs") is not None
    written = Written(
        outputs=_files(table, "outputs") if declares else default,
        temporary=tuple(name.rstrip("/") for name in _files(table, "temporary")),
    )
    table.refuse_unknown()
    for name in written.outputs:
        if written.is_temporary(name):
            raise table.fault("temporary", f"names {name!r}, which 'outputs' promises; keep one of the two")
    return written


def _files(table: TomlTable, key: str) -> tuple[str, ...]:
    names = table.texts(key)
    for name in names:
        if not _FILE.fullmatch(name.rstrip("/") if key == "temporary" else name):
            expected = 'expected a file below the output folder, such as "forest.pkl" or "forest/trees.pkl"'
            raise table.fault(key, f"names {name!r}; {expected}")
        if name.split("/")[0] == CURVES:
            raise table.fault(key, f"names {name!r}; {CURVES}/ is taken anyway, a folder for each run")
    if len(set(names)) != len(names):
        raise table.fault(key, "names a file twice")
    return names

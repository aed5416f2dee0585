"""What a .dockerignore leaves out of a build's context, and which of its lines does.

Source:
    Dockerfile reference, ".dockerignore file"; github.com/moby/buildkit, frontend/dockerfile/dockerignore.
"""

import posixpath
from dataclasses import dataclass

from challenge_bundle.errors import DataError, shown
from challenge_bundle.formats.path_patterns import PathPattern, parse_pattern

DOCKERIGNORE = ".dockerignore"
MAX_BYTES = 1 << 16
MAX_PATTERNS = 500


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The rules of one file; of those that are true for a path, the last one counts.

    Args:
        name: Of the file, for messages.
        rules: (line, whether it takes back what earlier ones leave out, pattern) of each.
    """

    name: str = DOCKERIGNORE
    rules: tuple[tuple[int, bool, PathPattern], ...] = ()

    def line_of(self, path: str) -> int:
        """The line that leaves a file out; 0 if the file stays.

        Args:
            path: In the context, with slashes.
        """
        for line, takes_back, pattern in reversed(self.rules):
            if pattern.covers(path):
                return 0 if takes_back else line
        return 0


def parse_dockerignore(text: str, name: str = DOCKERIGNORE) -> IgnoreRules:
    """Parse a .dockerignore.

    Args:
        text: Its text.
        name: Of the file, for messages.

    Raises:
        DataError: A pattern is not valid, or there are too many of them.
    """
    if len(text) > MAX_BYTES:
        raise DataError(
            f"is larger than {MAX_BYTES >> 10} KB",
            name,
            code="dockerignore-size",
            hint="ignore folders, not files",
        )
    rules: list[tuple[int, bool, PathPattern]] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        pattern = line.strip()
        if line.startswith("#") or not pattern:
            continue
        takes_back = pattern.startswith("!")
        pattern = pattern.removeprefix("!").strip()
        if not pattern:
            raise DataError(
                "has a '!' without a pattern",
                name,
                number,
                code="dockerignore-pattern",
                hint="leave the line out",
            )
        # A path in the context, whether or not it begins with a slash; `.` and `../x` are true for no file.
        cleaned = posixpath.normpath(pattern).lstrip("/")
        try:
            rules.append((number, takes_back, parse_pattern(cleaned, crosses_folders=True)))
        except ValueError as fault:
            raise DataError(
                f"the pattern {shown(cleaned)} {fault}",
                name,
                number,
                code="dockerignore-pattern",
                hint="correct it",
            ) from None
        if len(rules) > MAX_PATTERNS:
            raise DataError(
                f"has more than {MAX_PATTERNS} patterns",
                name,
                number,
                code="dockerignore-pattern-count",
                hint="ignore folders, not files",
            )
    return IgnoreRules(name, tuple(rules))

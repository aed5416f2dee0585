"""Blocks of code in the pages, with the comments that steer how they are run."""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from challenge_bundle.installation import PROJECT_ROOT

PAGES = [
    PROJECT_ROOT / "README.md",
    *sorted((PROJECT_ROOT / "docs").rglob("*.md")),
]
RUN = ("sh", "python")
LANGUAGES = (*RUN, "toml", "text", "json", "csv", "html", "dockerfile")
NEEDS = ("docker", "s3", "postgresql")
KEYS = ("not run", "needs", "status", "file", "run by")

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\S*)\n(?P<code>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)
_COMMENT = re.compile(r"<!-- (?P<key>[a-z ]+): (?P<value>(?:(?!-->).)*?) -->\s*\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page.

    Args:
        page: Its path in the project, such as `docs/audit.md`.
        line: Of its first fence.
        language: What stands behind the fence.
        code: Its text, without the fence's indentation.
        steering: From the HTML comment in front of it: `not run`, `run by`, `needs`, `status` or `file`.
    """

    page: str
    line: int
    language: str
    code: str
    steering: dict[str, str]

    @property
    def name(self) -> str:
        """Where it stands."""
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        """Whether the runner runs it, on its turn in the page."""
        return self.language in RUN and not {"not run", "run by", "file"} & set(self.steering)

    @property
    def first_line(self) -> str:
        """What the list of blocks that are left out knows it by: lines move."""
        return self.code.partition("\n")[0].partition("  #")[0].strip()


def page_name(path: Path) -> str:
    """A page's path in the project."""
    return path.relative_to(PROJECT_ROOT).as_posix()


def read_blocks(path: Path) -> list[Block]:
    """All blocks of a page, in order."""
    text = path.read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        before = text[: fence.start()]
        comment = _COMMENT.search(before)
        found.append(
            Block(
                page_name(path),
                before.count("\n") + 1,
                fence["language"],
                textwrap.dedent(fence["code"]),
                {comment["key"]: " ".join(comment["value"].split())} if comment else {},
            )
        )
    return found

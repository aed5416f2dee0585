"""What a program printed, kept in a file of bounded size: its beginning and its end."""

from collections import deque
from pathlib import Path
from types import TracebackType

HEAD_BYTES = 1 << 20
TAIL_LINES = 200


class BoundedLog:
    """Writes lines to a file; when there are too many, the middle is left out. Use as a context manager.

    Args:
        path: The file; an older one is replaced.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("w", encoding="utf-8")
        self.left = HEAD_BYTES
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.cut = 0

    def line(self, text: str) -> None:
        """Keep a line."""
        self.left -= len(text) + 1
        if self.left >= 0:
            self.file.write(text + "\n")
            self.file.flush()
        else:
            self.cut += 1
            self.tail.append(text)

    def __enter__(self) -> "BoundedLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.cut > len(self.tail):
            self.file.write(f"... {self.cut - len(self.tail)} lines left out ...\n")
        self.file.writelines(line + "\n" for line in self.tail)
        self.file.close()

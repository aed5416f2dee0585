"""What the page is made of: sections with tables and charts, the same for every layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Cell(NamedTuple):
    """A cell of a table, its text not escaped; `share` (0 to 1) is drawn as a bar, `style` as it is."""

    text: str
    share: float | None = None
    style: str = ""


class Table(NamedTuple):
    """A table: headings of the columns, and rows whose first cell is their heading.

    Args:
        headings: One for each column.
        rows: As many cells each.
        kind: `numbers`, `text` or `matrix`.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    kind: str = "numbers"


class Chart(NamedTuple):
    """A chart as SVG, in which everything is escaped, and its caption, which is not."""

    svg: str
    caption: str = ""


class Section(NamedTuple):
    """A section of the page: its heading, a note, its tables and its charts."""

    title: str
    note: str
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()

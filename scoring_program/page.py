"""The page of the results: one HTML file that loads nothing and runs nothing.

What is shown is made once, as tables and charts. With jinja2 a template lays it out; without it, as in
platforms' images with numpy and scikit-learn alone, a plain page has the same tables and charts.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from cases import Cases
from page_charts import CHART_STYLE
from page_parts import Section, Table
from page_scores import ScoreRow, score_rows, tiles
from page_sections import make_sections

TEMPLATE = "detailed_results.html.j2"
FEW_FOR_INTERVALS = 50
"""Below this number of independent units intervals are not promised to hold the true score in 95 %."""
SCORE_HEADINGS = ("metric", "score", "95 % interval", "unit", "better", "definition")

# The report of the package replaces the title, the first heading and the ends of style and main.
_PLAIN_STYLE = """
:root { color-scheme: light dark; --soft: #5f6f7f; --line: #9aa7b4; --right: 40 110 190; --wrong: 210 90 30; }
body { max-width: 60rem; margin: 1rem auto; padding: 0 1rem; font: 16px/1.5 sans-serif; }
table { border-collapse: collapse; }
th, td { border: 1px solid var(--line); padding: .2rem .6rem; text-align: left; }
figure { display: inline-block; margin: .5rem; vertical-align: top; }
"""


class Page(NamedTuple):
    """What is shown, texts not escaped."""

    summary: str
    note: str
    scores: list[ScoreRow]
    tiles: list[ScoreRow]
    sections: list[Section]


def render_page(cases: Cases, result: Mapping[str, Any]) -> str:
    """Make the page.

    Args:
        cases: Reference and predictions.
        result: The content of scores.json; with `wrong_cases` in its details, single cases are shown too.

    Returns:
        The HTML.
    """
    page = make_page(cases, result)
    try:
        import jinja2
    except ImportError:
        return plain_page(page)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).resolve().parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(TEMPLATE).render(
        page=page, chart_style=CHART_STYLE, score_headings=SCORE_HEADINGS
    )


def make_page(cases: Cases, result: Mapping[str, Any]) -> Page:
    """What the page shows."""
    rows = score_rows(result)
    return Page(
        summary(result["details"]),
        interval_note(result["details"]),
        rows,
        tiles(rows),
        make_sections(cases, result["details"]),
    )


def summary(details: Mapping[str, Any]) -> str:
    """How many cases there are of what, and how many went wrong."""
    count, groups, wrong = details["cases"], details.get("groups"), details.get("wrong")
    text = f"{count:,} test case{'' if count == 1 else 's'}"
    if groups:
        text += f" of {groups:,} patient group{'' if groups == 1 else 's'}"
    if details["task"] != "regression":
        word = "labels" if details["task"] == "multilabel" else "classes"
        text += f", {len(details['class_names'])} {word}"
    return text + (f"; {wrong:,} predicted wrongly." if wrong is not None else ".")


def interval_note(details: Mapping[str, Any]) -> str:
    """What the intervals are of."""
    if not details.get("intervals"):
        return "The scores are without intervals."
    unit = "patient groups" if details.get("groups") else "test cases"
    text = f"Intervals: 95 %, from resampled {unit}; they say how much other {unit} could change the score."
    if (details.get("groups") or details["cases"]) < FEW_FOR_INTERVALS:
        text += f" With fewer than {FEW_FOR_INTERVALS} {unit} they may be too narrow."
    return text


def plain_page(page: Page) -> str:
    """The page without a template: the same content, hardly any layout."""
    body = "".join(
        [
            f"<p>{escape(page.summary)}</p>",
            f"<h2>All scores</h2><p>{escape(page.note)}</p>",
            plain_scores(page.scores),
            *(plain_section(section) for section in page.sections),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<title>Detailed results</title>\n"
        f"<style>{_PLAIN_STYLE}{CHART_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>Detailed results</h1>\n"
        f"{body}\n</main>\n</body>\n</html>\n"
    )


def plain_scores(rows: list[ScoreRow]) -> str:
    """The table of all scores."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in SCORE_HEADINGS)
    lines = []
    for row in rows:
        title = row.title + (" (ranks)" if row.ranks else "")
        interval = row.interval + (f" ({row.caution})" if row.interval and row.caution else "")
        definition = f"<code>{escape(row.name)}</code> {escape(row.definition)} Source: {escape(row.source)}"
        cells = [row.value, interval or row.caution, row.unit, row.direction]
        lines.append(
            f'<tr><th scope="row">{escape(title)}</th>'
            + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
            + f"<td><details><summary>definition</summary>{definition}</details></td></tr>\n"
        )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{''.join(lines)}</tbody></table>"


def plain_section(section: Section) -> str:
    """A section: heading, note, charts and tables."""
    note = f"<p>{escape(section.note)}</p>" if section.note else ""
    charts = "".join(
        f"<figure><figcaption>{escape(chart.caption)}</figcaption>{chart.svg}</figure>"
        for chart in section.charts
    )
    return f"\n<h2>{escape(section.title)}</h2>{note}{charts}{''.join(map(plain_table, section.tables))}"


def plain_table(table: Table) -> str:
    """A table, its first column as headings."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in table.headings)
    lines = [
        f'<tr><th scope="row">{escape(row[0].text)}</th>'
        + "".join(f'<td style="{escape(cell.style)}">{escape(cell.text)}</td>' for cell in row[1:])
        + "</tr>\n"
        for row in table.rows
    ]
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{''.join(lines)}</tbody></table>"

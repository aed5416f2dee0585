"""The audit's files: the same each time and in both, and a page that strangers' names cannot break."""

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest

from challenge_bundle.audit.reading import read_images
from challenge_bundle.audit.run import Audit, audit_images
from challenge_bundle.layout import Layout
from challenge_bundle.report.audit_page import audit_text, write_audit
from tests.audits import Row, find, noise, picture, renamed, sound_rows, table_of
from tests.boards import HOSTILE
from tests.browsing import dom, framed
from tests.conftest import say_nothing


def spoiled_rows() -> list[Row]:
    """A set with a leak, a blank image and one that cannot be read."""
    rows = sound_rows()
    leak = find(rows, "testing", "cat")
    return [
        *rows,
        Row("training", "leak.png", "cat", leak.image),
        Row("training", "blank.png", "dog", picture(side=16).point(lambda value: 9)),
        Row("testing", "none.png", "dog", picture(), lambda image, path: path.write_text("x")),
    ]


def write(layout: Layout, audit: Audit, folder: Path) -> Path:
    write_audit(audit, layout, "A title", folder / "audit.html", folder / "audit.json")
    return folder / "audit.html"


def make_audit(layout: Layout, rows: list[Row]) -> Audit:
    return audit_images(table_of(layout, rows), None, say_nothing)


def test_the_same_data_give_the_same_bytes(layout: Layout, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(layout, make_audit(layout, spoiled_rows()), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"audit.html", "audit.json"}


def test_page_json_and_terminal_say_the_same(layout: Layout, tmp_path: Path) -> None:
    audit = make_audit(layout, spoiled_rows())
    page = html.unescape(write(layout, audit, tmp_path).read_text())
    document = json.loads((tmp_path / "audit.json").read_text())
    text = audit_text(audit)
    assert document["images"] == {"training": 42, "validation": 40, "testing": 40}
    assert document["classes"]["cat"] == {"training": 21, "validation": 20, "testing": 20}
    assert document["counts"]["error"] == 2
    assert "2 errors, 1 warning, 4 notes" in text
    assert len(document["findings"]) == len(audit.findings)
    for finding in document["findings"]:
        assert finding["what"] in page
        assert finding["what"] in text
        assert finding["mend"] in page
    (leak,) = [found for found in document["findings"] if found["check"] == "copies"]
    assert [image["split"] for image in leak["examples"][0]] == ["training", "testing"]
    assert leak["examples"][0][0] == {
        "file": "training-data/leak.png",
        "class": "cat",
        "split": "training",
        "origin": "leak.png",
    }


def test_page_json_and_terminal_say_which_checks_were_made(layout: Layout, tmp_path: Path) -> None:
    audit = audit_images(table_of(layout, spoiled_rows()), None, say_nothing, ("copies", "blank"))
    assert "unreadable, copies, blank" in write(layout, audit, tmp_path).read_text()
    assert json.loads((tmp_path / "audit.json").read_text())["checks"] == ["unreadable", "copies", "blank"]
    assert "(checks: unreadable, copies, blank)" in audit_text(audit)


def test_odd_sizes_and_modes_are_shown_with_their_files(layout: Layout, tmp_path: Path) -> None:
    odd = [
        Row("training", "large.png", "cat", picture(side=40)),
        Row("training", "color.png", "cat", noise(np.random.default_rng(5)).convert("RGB")),
    ]
    audit = make_audit(layout, [*sound_rows(), *odd])
    page = re.sub(r"<[^>]*>", " ", write(layout, audit, tmp_path).read_text())
    document = json.loads((tmp_path / "audit.json").read_text())
    for check, label, usual, name in (("sizes", "40x40", "16x16", "large"), ("modes", "RGB", "L", "color")):
        (finding,) = [found for found in document["findings"] if found["check"] == check]
        assert finding["labels"] == [label, usual]
        assert finding["examples"][0][0]["file"] == f"training-data/{name}.png"
        assert f"such as {label}: training-data/{name}.png (cat)" in audit_text(audit)
        assert re.search(rf"{label}\s+training, cat\s+{name}.png", page)


def test_where_the_data_came_from(layout: Layout, tmp_path: Path) -> None:
    audit = make_audit(layout, sound_rows())
    for source in ("", "csv:<b>x</b>.csv"):
        write_audit(audit, layout, "A title", tmp_path / "a.html", tmp_path / "a.json", source)
        assert json.loads((tmp_path / "a.json").read_text())["source"] == (source or None)
        page = (tmp_path / "a.html").read_text()
        assert ("Data: " in page, html.escape(source) in page) == (bool(source), True)
        assert "<b>x" not in page
    url = "https://me:secret@host/images"
    write_audit(audit, layout, "A title", tmp_path / "a.html", tmp_path / "a.json", url)
    assert all("secret" not in path.read_text() for path in tmp_path.glob("a.*"))
    assert "Data: <bdi>https://host/images</bdi>" in (tmp_path / "a.html").read_text()


def test_the_page_shows_examples_and_loads_nothing(layout: Layout, tmp_path: Path) -> None:
    page = write(layout, make_audit(layout, spoiled_rows()), tmp_path).read_text()
    assert page.count('<img src="data:image/png;base64,') == 3
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_classes_that_are_not_here_are_not_counted(layout: Layout, tmp_path: Path) -> None:
    table_of(layout, sound_rows())
    layout.solution_csv("testing").unlink()
    audit = audit_images(read_images(layout, say_nothing), None, say_nothing)
    page = write(layout, audit, tmp_path).read_text()
    assert page.count("<td>not here</td>") == 2
    assert json.loads((tmp_path / "audit.json").read_text())["images"]["testing"] == 40


def test_names_command_no_terminal(layout: Layout) -> None:
    image = noise(np.random.default_rng(99))
    rows = [Row("training", "a\x1b[2J\x07.png", "cat", image), Row("testing", "b.png", "cat", image)]
    text = audit_text(make_audit(layout, [*sound_rows(), *rows]))
    assert "a?[2J?.png" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("names", [HOSTILE, ("scan",)], ids=["hostile", "polite"])
def test_on_a_phone_nothing_but_tables_scrolls_sideways(
    browser: str, layout: Layout, tmp_path: Path, names: tuple[str, ...]
) -> None:
    safe = [re.sub(r"[/\0]", "", name)[:60] for name in names]
    rows = renamed(spoiled_rows(), lambda number, row: f"{number}{safe[number % len(safe)]}{row.name}")
    page = write(layout, make_audit(layout, rows), tmp_path)
    page.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text()))
    script = "document.title = d.scrollWidth + ' of ' + d.clientWidth"
    outer = framed(page, tmp_path, "", script)
    shown = dom(browser, outer, tmp_path / "profile", "--allow-file-access-from-files")
    measured = re.search(r"<title>(\d+) of (\d+)</title>", shown)
    assert measured is not None
    assert int(measured[1]) <= int(measured[2]) <= 320


def test_the_browser_shows_the_pictures(browser: str, layout: Layout, tmp_path: Path) -> None:
    page = write(layout, make_audit(layout, spoiled_rows()), tmp_path)
    script = "document.title = [...d.querySelectorAll('img')].map(i => i.naturalWidth).join()"
    outer = framed(page, tmp_path, "", script)
    shown = dom(browser, outer, tmp_path / "profile", "--allow-file-access-from-files")
    assert "<title>16,16,16</title>" in shown


def test_a_strangers_script_does_not_run(browser: str, layout: Layout, tmp_path: Path) -> None:
    script = "<img src=x onerror=document.title='owned'>"
    rows = renamed(spoiled_rows(), lambda number, row: f"{script}{row.name}")
    page = write(layout, make_audit(layout, rows), tmp_path)
    shown = dom(browser, page, tmp_path / "profile")
    assert "<title>A title: audit</title>" in shown
    assert "&lt;img src=x" in shown

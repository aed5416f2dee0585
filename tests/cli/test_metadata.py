"""A name that is planted in image files is told of, and handed out no more after --strip-metadata."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image, PngImagePlugin, TiffImagePlugin

from challenge_bundle.cli import main
from challenge_bundle.layout import SPLITS, Layout

NAME = "Doe^Jane 1950-01-01"
SUFFIXES = ("jpg", "png", "tif", "bmp", "gif", "webp", "pgm")
FIELDS = {
    "EXIF ImageDescription",
    "JPEG comment",
    "PNG text PatientName",
    "XMP",
    "TIFF ImageDescription",
    "GIF comment",
    "PNM comment",
    "bytes after the image's end",
}


def bundle(layout: Layout, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--bundle", str(layout.root), *arguments])


def write_with_name(path: Path, seed: int) -> None:
    """An image with the name in each place that its format has for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8))
    exif, text, tags = Image.Exif(), PngImagePlugin.PngInfo(), TiffImagePlugin.ImageFileDirectory_v2()
    exif[0x010E] = NAME
    text.add_text("PatientName", NAME)
    tags[270] = NAME
    xmp = f"<x:xmpmeta>{NAME}</x:xmpmeta>".encode()
    options = {
        "jpg": {"exif": exif, "comment": NAME, "xmp": xmp},
        "png": {"exif": exif, "pnginfo": text},
        "tif": {"tiffinfo": tags},
        "gif": {"comment": NAME},
        "webp": {"exif": exif, "xmp": xmp, "lossless": True},
    }
    image.save(path, **options.get(path.suffix[1:], {}))
    if path.suffix == ".pgm":
        path.write_bytes(path.read_bytes().replace(b"P5\n", f"P5\n# {NAME}\n".encode()))
    if path.suffix == ".bmp":
        path.write_bytes(path.read_bytes() + NAME.encode())


@pytest.fixture
def images(tmp_path: Path) -> Path:
    seed = 0
    for class_name in ("cat", "dog"):
        for suffix in SUFFIXES:
            for number in range(3):
                seed += 1
                write_with_name(tmp_path / "images" / class_name / f"{suffix}{number}.{suffix}", seed)
    return tmp_path / "images"


def pixels(path: Path) -> tuple[str, tuple[int, int], bytes]:
    with Image.open(path) as opened:
        return opened.mode, opened.size, opened.convert("RGBA").tobytes()


def holders(layout: Layout) -> list[Path]:
    """Files below input_data/ that hold the name."""
    files = [path for path in layout.input_data.rglob("*") if path.is_file()]
    return [path for path in files if NAME.encode() in path.read_bytes()]


def test_an_import_warns_and_names_no_name(layout: Layout, images: Path) -> None:
    said = bundle(layout, "data", "import", f"folder:{images}", "--any-size")
    assert said.exit_code == 0, said.output
    (warning,) = [line for line in said.output.splitlines() if "besides the pixels" in line]
    assert f"which may name a patient: {2 * 7 * 3}, such as {images}" in warning
    assert all(field in warning for field in FIELDS)
    assert "--strip-metadata" in warning
    assert "Doe^" not in said.output
    assert len(holders(layout)) == 2 * 7 * 3


@pytest.mark.parametrize("told_by", ["option", "manifest"])
def test_a_stripped_import_hands_out_no_name(layout: Layout, images: Path, told_by: str) -> None:
    if told_by == "manifest":
        text = layout.manifest.read_text().replace("[data]\n", "[data]\nstrip_metadata = true\n")
        layout.manifest.write_text(text)
    option = ["--strip-metadata"] if told_by == "option" else []
    said = bundle(layout, "data", "import", f"folder:{images}", *option)
    assert said.exit_code == 0, said.output
    assert "warning" not in said.output
    assert holders(layout) == []
    with layout.origins_csv.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == 2 * 7 * 3
    for row in rows:
        stored = layout.split_dir(row["split"]) / row["file"]
        assert row["sha256"] == hashlib.sha256(stored.read_bytes()).hexdigest()
        assert stored.suffix == Path(row["origin"]).suffix
        assert pixels(stored) == pixels(Path(row["origin"]))
    assert json.loads(layout.import_json.read_text())["request"]["strip_metadata"] is True


def test_the_audit_names_the_fields_alone(layout: Layout, images: Path) -> None:
    bundle(layout, "data", "import", f"folder:{images}")
    said = bundle(layout, "data", "audit", "--check", "metadata")
    assert said.exit_code == 0, said.output
    assert "warning: metadata: 42 files have texts besides the pixels" in said.output
    assert "--strip-metadata" in said.output
    document = json.loads((layout.audit / "audit.json").read_text())
    (finding,) = document["findings"]
    assert {row["field"] for row in finding["figures"]} == FIELDS
    assert len(finding["examples"]) == 42
    for path in (layout.audit / "audit.html", layout.audit / "audit.json"):
        assert "Doe^" not in path.read_text()

    bundle(layout, "data", "import", f"folder:{images}", "--strip-metadata")
    said = bundle(layout, "data", "audit", "--check", "metadata")
    assert "42 images: 0 errors, 0 warnings, 0 notes" in said.output


def test_what_cannot_be_taken_is_named_and_the_old_data_stay(layout: Layout, images: Path) -> None:
    bundle(layout, "data", "import", f"folder:{images}")
    before = {path.name for split in SPLITS for path in layout.split_dir(split).iterdir()}
    two = images / "cat" / "two.tif"
    page = Image.new("L", (16, 16), 9)
    page.save(two, save_all=True, append_images=[page])
    said = bundle(layout, "data", "import", f"folder:{images}", "--strip-metadata")
    assert said.exit_code == 1
    assert f"{two}: 2 pages, expected one" in said.output
    assert {path.name for split in SPLITS for path in layout.split_dir(split).iterdir()} == before

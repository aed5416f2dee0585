"""A contact sheet: each image next to its contours and their mask, to check the parsing by eye."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from challenge_bundle.dicom.contours import contour_to_mask, read_contour
from challenge_bundle.dicom.display import to_gray
from challenge_bundle.dicom.reading import DicomImage, read_dicom
from challenge_bundle.dicom.sunnybrook import ContourSlice, check_slices, read_folder
from challenge_bundle.errors import DataError
from challenge_bundle.files import replacing
from challenge_bundle.findings import Finding
from challenge_bundle.progress import Progress
from challenge_bundle.templates import render

SUFFIXES = (".png", ".html")

_PANEL_PX = 256
_CAPTION_PX = 16
_TILES_A_ROW = 3
_LINE_PX = 2
_TEXT = (255, 255, 255)
_INNER, _OUTER = (255, 80, 60), (70, 170, 255)
_MASK_GRAYS = (85, 170)
"""Added for the outer and for the inner contour's mask: what is inside both is white."""

_DARK = 64.0
"""Mean gray level, 0..255, below which an image is shown brighter than its window makes it."""
_GAMMA = 0.7

HEADINGS = (
    (("image", _TEXT),),
    (("inner contour: red", _INNER),),
    (("outer contour: blue", _OUTER),),
    (
        ("mask: ", _TEXT),
        ("in both", _TEXT),
        ("  inner alone", (_MASK_GRAYS[1],) * 3),
        ("  outer alone", (_MASK_GRAYS[0] + 25,) * 3),
    ),
)
"""What the four pictures of a tile show, each word in its colour."""


@dataclass(frozen=True, slots=True)
class SheetResult:
    """A sheet that was written.

    Args:
        path: The file.
        shown: Number of images on it.
        total: Number of images in the folder.
        inner: Number of images with an inner contour.
        outer: Number of images with an outer contour.
        findings: Of all images.
    """

    path: Path
    shown: int
    total: int
    inner: int
    outer: int
    findings: tuple[Finding, ...]


def write_sheet(folder: Path, output: Path, limit: int, progress: Progress) -> SheetResult:
    """Check all images and contours of a folder, and draw them.

    Args:
        folder: In the link.csv layout, or with plain DICOM series.
        output: A png or html file.
        limit: Most images that are drawn, those with findings before others; 0 draws all.
        progress: Called with (what is done, how many are done, how many there are).

    Raises:
        DataError: The folder, link.csv or an image is at fault, or output has another suffix.
        UnavailableError: pydicom is not installed.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise DataError(
            f"expected a name that ends in {' or '.join(SUFFIXES)}",
            output,
            code="sheet-suffix",
            hint="give another name",
        )
    found = read_folder(folder, progress)
    by_slice = check_slices(found.slices, progress)
    findings = [*found.findings, *(finding for of_slice in by_slice for finding in of_slice)]
    chosen = _choose(by_slice, limit)
    captions = [
        "; ".join([found.slices[number].origin, *(finding.message for finding in by_slice[number])])
        for number in chosen
    ]
    tiles = []
    for done, number in enumerate(chosen, start=1):
        tiles.append(_draw_or_note(found.slices[number]))
        progress("drawing", done, len(chosen))
    with replacing(output) as temporary:
        if output.suffix.lower() == ".png":
            join_tiles(tiles, captions).save(temporary, format="PNG")
        else:
            temporary.write_text(_page(captions, tiles, findings), encoding="utf-8")
    inner, outer = (
        sum(getattr(item, kind) is not None for item in found.slices) for kind in ("inner", "outer")
    )
    return SheetResult(output, len(chosen), len(found.slices), inner, outer, tuple(findings))


def _choose(by_slice: Sequence[Sequence[Finding]], limit: int) -> list[int]:
    """Numbers of the images that are drawn: with errors, with warnings, then the rest at even distances."""
    count = min(limit or len(by_slice), len(by_slice))
    severities = [{finding.severity for finding in of_slice} for of_slice in by_slice]
    marked = [number for number, found in enumerate(severities) if found]
    first = sorted(marked, key=lambda number: "error" not in severities[number])[:count]
    rest = [number for number, found in enumerate(severities) if not found]
    places = np.linspace(0, len(rest) - 1, count - len(first)).round().astype(int).tolist() if rest else []
    return [*first, *(rest[place] for place in places)]


def _draw_or_note(item: ContourSlice) -> Image.Image:
    """A tile; an empty one if the image cannot be read, which is a finding already."""
    try:
        return draw_tile(item)
    except DataError:
        tile = Image.new("RGB", (4 * _PANEL_PX, _PANEL_PX))
        ImageDraw.Draw(tile).text((8, 8), "cannot be read", fill=_TEXT)
        return tile


def draw_tile(item: ContourSlice) -> Image.Image:
    """Draw an image, it with its inner contour, it with its outer contour, and their mask, side by side.

    Args:
        item: The image; a contour that cannot be read or filled is left out, as one that is not there.

    Returns:
        Four pictures in a row, as HEADINGS names them.

    Raises:
        DataError: The image cannot be read.
    """
    decoded = read_dicom(item.dicom)
    height, width = decoded.pixels.shape
    gray = Image.fromarray(_visible(decoded)).convert("RGB")
    scale = _PANEL_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    tile = Image.new("RGB", (4 * _PANEL_PX, _PANEL_PX))
    mask = np.zeros((height, width), np.uint8)
    tile.paste(gray.resize(size))
    for place, (path, color) in enumerate(((item.inner, _INNER), (item.outer, _OUTER)), start=1):
        panel = gray.resize(size)
        contour_px = _readable(path)
        if contour_px is not None:
            # A contour's whole numbers are pixels' centres, a drawing's are their corners.
            line = [(float(x), float(y)) for x, y in (contour_px + 0.5) * scale - 0.5]
            ImageDraw.Draw(panel).line([*line, *line[:2]], fill=color, width=_LINE_PX, joint="curve")
            mask[contour_to_mask(contour_px, (height, width))] += _MASK_GRAYS[path == item.inner]
        tile.paste(panel, (place * _PANEL_PX, 0))
    tile.paste(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST), (3 * _PANEL_PX, 0))
    return tile


def _visible(decoded: DicomImage) -> np.ndarray:
    """The picture of an image (H, W), uint8, made brighter where its own window leaves it dark."""
    gray = to_gray(decoded)
    if gray.mean() >= _DARK:
        return gray
    spread = to_gray(replace(decoded, header=replace(decoded.header, window=None, lut=None)))
    brighter: np.ndarray = np.rint(255.0 * (spread / 255.0) ** _GAMMA).astype(np.uint8)
    return brighter


def _readable(path: Path | None) -> np.ndarray | None:
    """A contour that can be drawn; one that cannot is among the findings."""
    if path is None:
        return None
    try:
        contour_px = read_contour(path)
    except DataError:
        return None
    return contour_px if len(contour_px) > 2 else None


def join_tiles(tiles: Sequence[Image.Image], captions: Sequence[str]) -> Image.Image:
    """Put tiles in rows, each with its caption above it, below a line of headings.

    Args:
        tiles: As `draw_tile` gives them.
        captions: One each.
    """
    columns = max(1, min(_TILES_A_ROW, len(tiles)))
    rows = -(-len(tiles) // columns)
    width, height = 4 * _PANEL_PX + 8, _PANEL_PX + _CAPTION_PX
    sheet = Image.new("RGB", (columns * width, _CAPTION_PX + rows * height))
    for column in range(columns):
        sheet.paste(_heading(), (column * width, 0))
    for number, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        left, top = number % columns * width, _CAPTION_PX + number // columns * height
        # Drawn by itself, so that a long one ends where its tile does.
        line = Image.new("RGB", (4 * _PANEL_PX, _CAPTION_PX))
        # The built-in font knows Latin letters alone.
        text = caption.encode("latin-1", "replace").decode("latin-1")
        ImageDraw.Draw(line).text((2, 2), text, fill=_TEXT)
        sheet.paste(line, (left, top))
        sheet.paste(tile, (left, top + _CAPTION_PX))
    return sheet


def with_heading(tile: Image.Image) -> Image.Image:
    """A tile below its headings."""
    headed = Image.new("RGB", (tile.width, _CAPTION_PX + tile.height))
    headed.paste(_heading(), (0, 0))
    headed.paste(tile, (0, _CAPTION_PX))
    return headed


def _heading() -> Image.Image:
    heading = Image.new("RGB", (4 * _PANEL_PX, _CAPTION_PX), (40, 40, 40))
    draw = ImageDraw.Draw(heading)
    for place, words in enumerate(HEADINGS):
        left: float = place * _PANEL_PX + 2
        for word, color in words:
            draw.text((left, 2), word, fill=color)
            left += draw.textlength(word)
    return heading


def _page(captions: Sequence[str], tiles: Sequence[Image.Image], findings: Sequence[Finding]) -> str:
    urls = []
    for tile in tiles:
        buffer = io.BytesIO()
        with_heading(tile).save(buffer, format="PNG")
        urls.append(f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}")
    return render(
        Path(__file__).resolve().with_name("contact_sheet.html.j2"),
        figures=list(zip(captions, urls, strict=True)),
        findings=findings,
    )

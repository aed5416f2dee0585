"""A contact sheet: each image beside its contours and their mask, to check the parsing by eye."""

import base64
import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tools.dicom.contours import contour_to_mask, read_contour
from tools.dicom.display import to_gray
from tools.dicom.linked import ContourSlice, check_slices, read_folder
from tools.dicom.reading import read_dicom
from tools.errors import DataError
from tools.files import replacing
from tools.findings import Finding

SUFFIXES = (".png", ".html")

_PANEL_PX = 256
_CAPTION_PX = 16
_TILES_A_ROW = 3
_INNER, _OUTER = (255, 80, 60), (70, 170, 255)
_MASK_GRAYS = (110, 145)
"""Added for the outer and for the inner contour's mask: what is inside both is white."""


@dataclass(frozen=True, slots=True)
class SheetResult:
    """What came of a sheet.

    Args:
        path: The file.
        shown: Images on it.
        total: Images there are.
        inner: How many have an inner contour.
        outer: How many have an outer contour.
        findings: What is amiss, of all images.
    """

    path: Path
    shown: int
    total: int
    inner: int
    outer: int
    findings: tuple[Finding, ...]


def write_sheet(
    folder: Path, output: Path, limit: int, progress: Callable[[str, int, int], None]
) -> SheetResult:
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
        raise DataError(f"cannot be written; expected a name that ends in {' or '.join(SUFFIXES)}", output)
    found = read_folder(folder, progress)
    by_slice = check_slices(found.slices, progress)
    findings = [*found.findings, *(finding for of_slice in by_slice for finding in of_slice)]
    chosen = _choose([bool(of_slice) for of_slice in by_slice], limit)
    captions = [
        "; ".join([found.slices[number].origin, *(finding.what for finding in by_slice[number])])
        for number in chosen
    ]
    tiles = []
    for done, number in enumerate(chosen, start=1):
        tiles.append(draw_tile(found.slices[number]))
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


def _choose(marked: Sequence[bool], limit: int) -> list[int]:
    """Numbers of the images that are drawn: those that are marked first, then the rest at even distances."""
    count = min(limit or len(marked), len(marked))
    first = [number for number, is_marked in enumerate(marked) if is_marked][:count]
    rest = [number for number, is_marked in enumerate(marked) if not is_marked]
    places = np.linspace(0, len(rest) - 1, count - len(first)).round().astype(int).tolist() if rest else []
    return sorted([*first, *(rest[place] for place in places)])


def draw_tile(item: ContourSlice) -> Image.Image:
    """Draw an image, it with its inner contour, it with its outer contour, and their mask, side by side.

    Args:
        item: The image; a contour that cannot be read or filled is left out, as one that is not there.

    Raises:
        DataError: The image cannot be read.
    """
    decoded = read_dicom(item.dicom)
    height, width = decoded.pixels.shape
    gray = Image.fromarray(to_gray(decoded)).convert("RGB")
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
            ImageDraw.Draw(panel).line([*line, line[0]], fill=color)
            mask[contour_to_mask(contour_px, (height, width))] += _MASK_GRAYS[path == item.inner]
        tile.paste(panel, (place * _PANEL_PX, 0))
    tile.paste(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST), (3 * _PANEL_PX, 0))
    return tile


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
    """Put tiles in rows, each with its caption above it.

    Args:
        tiles: As `draw_tile` gives them.
        captions: One each.
    """
    columns = min(_TILES_A_ROW, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * (4 * _PANEL_PX + 8), rows * (_PANEL_PX + _CAPTION_PX)))
    draw = ImageDraw.Draw(sheet)
    for number, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        left, top = number % columns * (4 * _PANEL_PX + 8), number // columns * (_PANEL_PX + _CAPTION_PX)
        # The built-in font knows Latin letters alone.
        draw.text((left + 2, top + 2), caption.encode("latin-1", "replace").decode("latin-1"), fill="white")
        sheet.paste(tile, (left, top + _CAPTION_PX))
    return sheet


def _page(captions: Sequence[str], tiles: Sequence[Image.Image], findings: Sequence[Finding]) -> str:
    figures = []
    for text, tile in zip(captions, tiles, strict=True):
        buffer = io.BytesIO()
        tile.save(buffer, format="PNG")
        source = base64.b64encode(buffer.getvalue()).decode("ascii")
        caption = html.escape(text)
        figures.append(
            f'<figure><figcaption>{caption}</figcaption><img alt="{caption}: image, inner contour, outer'
            f' contour, mask" src="data:image/png;base64,{source}"></figure>'
        )
    found = "".join(f"<li>{html.escape(str(finding))}</li>" for finding in findings)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Contact sheet</title>\n'
        "<style>body{background:#111;color:#ddd;font:14px sans-serif}figure{margin:8px 0}"
        "img{max-width:100%}</style>\n<h1>Image, inner contour, outer contour, mask</h1>\n"
        f"<p>{len(captions)} images, {len(findings)} findings</p><ul>{found}</ul>\n"
        + "\n".join(figures)
        + "\n</html>\n"
    )

"""Contours drawn by hand: parsing, filling, checks."""

from pathlib import Path

import numpy as np

from challenge_bundle.errors import DataError, shown
from challenge_bundle.findings import ERROR, WARNING, Finding

MIN_VERTICES = 3


def parse_contour(text: str, path: Path | str) -> np.ndarray:
    """Parse lines of "x y".

    Args:
        text: One vertex per line, in pixels; empty lines are skipped.
        path: For messages.

    Returns:
        Vertices (N, 2), float64, (x, y) in pixels, x = column.

    Raises:
        DataError: A line holds something else.
    """
    # numpy parses all at once; only a text that it refuses is parsed by line, to report the line.
    words = text.split()
    try:
        contour_px = np.array(words, dtype=np.float64).reshape(-1, 2)
        pairs = all(len(line.split()) in (0, 2) for line in text.splitlines())
    except ValueError:
        pairs = False
    if pairs and np.isfinite(contour_px).all():
        return contour_px
    row, line = next(
        (row, line) for row, line in enumerate(text.splitlines(), start=1) if not _is_vertex(line)
    )
    raise DataError(
        f'expected two numbers "x y" in pixels, but got {shown(line)}',
        path,
        row,
        code="contour-line-invalid",
        hint="correct the line",
    )


def read_contour(path: Path) -> np.ndarray:
    """Read a contour file; see `parse_contour`.

    Raises:
        DataError: It cannot be read, or a line is not two numbers.
    """
    try:
        return parse_contour(path.read_text(encoding="ascii"), path)
    except FileNotFoundError:
        raise DataError("no such file", path, code="contour-missing", hint="put it there") from None
    except UnicodeDecodeError:
        raise DataError(
            'expected lines of two numbers "x y" in pixels, but it is not plain text',
            path,
            code="contour-not-text",
            hint="draw it again",
        ) from None


def _is_vertex(line: str) -> bool:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        return False
    return len(values) in (0, 2) and bool(np.isfinite(values).all())


def contour_to_mask(contour_px: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Fill a closed contour, by the even-odd rule.

    A pixel's centre lies at whole numbers: that of the first is (0, 0). A centre that lies on the contour is
    inside at a left or upper edge and outside at a right or lower one, so that areas which share an edge
    share no pixel.

    Args:
        contour_px: Vertices (N, 2), (x, y) in pixels, x = column; the last is joined to the first.
        shape: (H, W) of the image, pixels.

    Returns:
        Mask (H, W), bool; a pixel is inside when its centre is.

    Raises:
        DataError: Fewer than 3 vertices.

    Source:
        DICOM PS3.3 C.8.8.6 (ROI Contour Module); crossing numbers as in Foley et al., Computer Graphics, 3.6.
    """
    if len(contour_px) < MIN_VERTICES:
        raise DataError(
            f"expected {MIN_VERTICES} vertices or more, but got {len(contour_px)}",
            code="contour-too-few-vertices",
            hint="draw the contour again",
        )
    height, width = shape
    start, end = contour_px, np.roll(contour_px, -1, axis=0)
    # Rows [first, last) are those whose centre line the edge crosses; an edge owns its upper end alone.
    upper, lower = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    first = np.clip(np.ceil(upper), 0, height).astype(np.int64)
    last = np.clip(np.ceil(lower), 0, height).astype(np.int64)
    count = last - first
    edge = np.repeat(np.arange(len(start)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    slope = (end[edge, 0] - start[edge, 0]) / (end[edge, 1] - start[edge, 1])
    crossing = start[edge, 0] + (row - start[edge, 1]) * slope
    column = np.clip(np.ceil(crossing), 0, width).astype(np.int64)
    mask = np.zeros(shape, np.bool_)
    if len(row):
        # In the box about the contour alone: every crossing turns inside to outside and back to its right.
        top, left = row.min(), column.min()
        box = row.max() + 1 - top, column.max() + 1 - left
        crossings = np.bincount((row - top) * box[1] + column - left, minlength=box[0] * box[1])
        inside = np.cumsum(crossings.reshape(box), axis=1) % 2 == 1
        mask[top : top + box[0], left : left + box[1]] = inside[:, : width - left]
    return mask


def check_contour(
    contour_px: np.ndarray, shape: tuple[int, int], location: str, first_pixel: float = 0.0
) -> list[Finding]:
    """Check that a contour lies on its image and encloses an area.

    Args:
        contour_px: Vertices (N, 2), (x, y) in pixels, as in the file.
        shape: (H, W) of the image, pixels.
        location: The contour's file.
        first_pixel: The file's coordinate of the centre of the first pixel, in x and y.

    Returns:
        One error, or nothing.
    """
    if not len(contour_px):
        what = f"is empty, but an area needs {MIN_VERTICES} vertices or more"
        hint = "remove it if nothing was drawn, or draw it again"
        return [Finding("contour-empty", ERROR, location, what, hint)]
    if len(contour_px) < MIN_VERTICES:
        return [
            Finding(
                "contour-too-few-vertices",
                ERROR,
                location,
                f"{len(contour_px)} vertices, but an area needs {MIN_VERTICES} or more",
                "draw it again",
            )
        ]
    height, width = shape
    moved_px = contour_px - first_pixel
    beyond = (moved_px < -0.5).any(axis=1) | (moved_px > np.array([width, height]) - 0.5).any(axis=1)
    if beyond.any():
        x, y = contour_px[beyond][0]
        return [
            Finding(
                "contour-off-image",
                ERROR,
                location,
                f"{beyond.sum()} of {len(contour_px)} vertices lie outside the image of {width}x{height}"
                f" pixels, the first at {x:g} {y:g}"
                + f" (of first_pixel={first_pixel:g})"
                * bool(first_pixel),
                "check that it belongs to this image, or draw it again",
            )
        ]
    if not contour_to_mask(moved_px, shape).any():
        what = "has no pixel's centre inside"
        return [Finding("contour-without-area", ERROR, location, what, "draw it again")]
    return []


def check_pair(inner: np.ndarray, outer: np.ndarray, location: str) -> list[Finding]:
    """Check that an inner contour lies inside its outer one.

    Args:
        inner: Mask (H, W), bool.
        outer: Mask (H, W), bool.
        location: The inner contour's file.

    Returns:
        Nothing; a warning if they cross; an error if the inner one is larger or more than half outside, for
        then the two are probably swapped.
    """
    beyond, inner_px, outer_px = int((inner & ~outer).sum()), int(inner.sum()), int(outer.sum())
    if not beyond:
        return []
    what = f"{beyond:,} of {inner_px:,} pixels of the inner contour lie outside the outer one"
    if inner_px > outer_px or 2 * beyond > inner_px:
        what += f", which has {outer_px:,}: swapped?"
        hint = "look at the two, and swap their files or draw the wrong one again"
        return [Finding("contours-swapped", ERROR, location, what, hint)]
    hint = "look at it, and draw one of the two again if need be"
    return [Finding("contours-cross", WARNING, location, what, hint)]

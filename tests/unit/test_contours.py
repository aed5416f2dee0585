"""Contours: parsing, filling beside an independent rasteriser, checks."""

import numpy as np
import pytest
from matplotlib.path import Path as Polygon

from challenge_bundle.dicom.contours import check_contour, check_pair, contour_to_mask, parse_contour
from challenge_bundle.errors import DataError
from tests.dicoms import circle

SQUARE = np.array([[4.0, 4.0], [12.0, 4.0], [12.0, 12.0], [4.0, 12.0]])
NOTCHED = np.array([[2.0, 2.0], [20.0, 2.0], [20.0, 20.0], [11.0, 8.0], [2.0, 20.0]])
BOW_TIE = np.array([[2.0, 2.0], [18.0, 18.0], [18.0, 2.0], [2.0, 18.0]])
TOUCHING = np.array(
    [[2, 2], [12, 2], [12, 12], [22, 12], [22, 22], [12, 22], [12, 12], [2, 12]], dtype=np.float64
)
WOUND_TWICE = np.vstack([circle(15.2, 14.7, 9.0), circle(15.2, 14.7, 5.0)])


def area(contour_px: np.ndarray) -> float:
    """By the shoelace formula."""
    x, y = contour_px.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2.0


def rasterise(contour_px: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Matplotlib's own answer, of every pixel's centre."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    closed = Polygon(np.vstack([contour_px, contour_px[:1]]))
    return closed.contains_points(np.column_stack([x.ravel(), y.ravel()])).reshape(shape)


def test_a_square_has_its_area_and_its_place() -> None:
    expected = np.zeros((16, 20), bool)
    expected[4:12, 4:12] = True
    mask = contour_to_mask(SQUARE, (16, 20))
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, expected)
    # Neither the direction nor the vertex that it begins with matters.
    np.testing.assert_array_equal(contour_to_mask(np.roll(SQUARE[::-1], 1, axis=0), (16, 20)), expected)


def test_x_is_the_column() -> None:
    mask = contour_to_mask(np.array([[1.0, 5.0], [9.0, 5.0], [9.0, 7.0], [1.0, 7.0]]), (10, 12))
    assert np.argwhere(mask).min(axis=0).tolist() == [5, 1]
    assert np.argwhere(mask).max(axis=0).tolist() == [6, 8]


@pytest.mark.parametrize("radius", [3.0, 10.0, 57.3])
def test_a_circle_has_its_area(radius: float) -> None:
    mask = contour_to_mask(circle(63.7, 60.2, radius, 2000), (128, 128))
    # The error of counting centres goes with the outline's length.
    assert abs(mask.sum() - np.pi * radius**2) < 2.0 * np.sqrt(radius)


@pytest.mark.parametrize("contour_px", [NOTCHED, TOUCHING], ids=["notched", "touching"])
def test_concave_and_touching_polygons_have_their_area(contour_px: np.ndarray) -> None:
    # Off the grid: on it, the centres on a slanting edge are all of one side.
    moved = 20.0 * contour_px + np.array([0.137, 0.291])
    assert contour_to_mask(moved, (500, 500)).sum() == pytest.approx(area(moved), rel=1e-3)


def test_what_is_wound_twice_is_outside() -> None:
    """By the even-odd rule; the outline is one line from the outer ring to the inner and back."""
    mask = contour_to_mask(WOUND_TWICE, (30, 30))
    assert not mask[14, 15]
    assert mask.sum() == pytest.approx(np.pi * (81 - 25), rel=0.05)
    assert contour_to_mask(BOW_TIE, (20, 20)).sum() == pytest.approx(128, rel=0.05)


@pytest.mark.parametrize(
    "contour_px",
    [SQUARE, NOTCHED, TOUCHING, circle(20, 15, 11), circle(2, 30, 12), circle(36, -3, 9)],
    ids=["square", "notched", "touching", "circle", "beyond the left", "beyond the corner"],
)
@pytest.mark.parametrize("shift", [(0.137, 0.291), (-3.613, 2.177)])
def test_the_same_as_matplotlib(contour_px: np.ndarray, shift: tuple[float, float]) -> None:
    moved = contour_px + np.array(shift)
    np.testing.assert_array_equal(contour_to_mask(moved, (34, 40)), rasterise(moved, (34, 40)))


def test_random_polygons_as_matplotlib() -> None:
    """Also with edges that cross, where matplotlib too goes by even and odd."""
    generator = np.random.default_rng(0)
    for _ in range(200):
        contour_px = generator.uniform(-10, 50, (generator.integers(3, 12), 2))
        np.testing.assert_array_equal(contour_to_mask(contour_px, (37, 41)), rasterise(contour_px, (37, 41)))


def test_areas_that_share_an_edge_share_no_pixel() -> None:
    """Through pixels' centres, as contours on half pixels are: no pixel is lost, none counted twice."""
    corner, far = [0.0, 0.0], [20.0, 20.0]
    lower = contour_to_mask(np.array([corner, far, [0.0, 20.0]]), (20, 20))
    upper = contour_to_mask(np.array([corner, [20.0, 0.0], far]), (20, 20))
    assert not (lower & upper).any()
    assert (lower | upper).all()


def test_far_outside_is_empty() -> None:
    assert not contour_to_mask(SQUARE + 100.0, (16, 16)).any()
    assert contour_to_mask(np.array([[-9.0, -9], [99, -9], [99, 99], [-9, 99]]), (16, 12)).all()


def test_two_vertices_are_no_area() -> None:
    with pytest.raises(DataError) as fault:
        contour_to_mask(SQUARE[:2], (16, 16))
    assert fault.value.code == "contour-too-few-vertices"
    assert "3 vertices or more, but got 2" in fault.value.finding.message


def test_parsing() -> None:
    contour_px = parse_contour("115.00 95.00\r\n115.50 94.50\n\n", "c.txt")
    np.testing.assert_array_equal(contour_px, [[115.0, 95.0], [115.5, 94.5]])
    assert parse_contour("", "c.txt").shape == (0, 2)


@pytest.mark.parametrize("line", ["1.0", "1.0 2.0 3.0", "1.0,2.0", "x y", "nan 1.0", "1.0 inf"])
def test_a_faulty_line_is_named(line: str) -> None:
    # Two such lines have an even number of words together.
    for text in (f"1 2\n{line}\n3 4\n", f"1 2\n{line}\n{line}\n"):
        with pytest.raises(DataError) as fault:
            parse_contour(text, "c.txt")
        found = fault.value.finding
        assert (found.code, found.location, found.row) == ("contour-line-invalid", "c.txt", 2)
        assert found.message == f"expected two numbers \"x y\" in pixels, but got '{line}'"


def test_checks() -> None:
    assert check_contour(SQUARE, (16, 16), "c.txt") == []
    # Its edge is that of the outermost pixels, half a pixel beyond their centres.
    assert check_contour(SQUARE - 4.5, (16, 16), "c.txt") == []
    (finding,) = check_contour(SQUARE + 5.0, (16, 16), "c.txt")
    assert (finding.code, finding.severity, finding.location) == ("contour-off-image", "error", "c.txt")
    assert "3 of 4 vertices lie outside the image of 16x16 pixels, the first at 17 9" in finding.message
    for contour_px, code in (
        (SQUARE[:0], "contour-empty"),
        (SQUARE[:2], "contour-too-few-vertices"),
        (0.01 * SQUARE + 3.3, "contour-without-area"),
    ):
        (finding,) = check_contour(contour_px, (16, 16), "c.txt")
        assert (finding.code, finding.severity, finding.location) == (code, "error", "c.txt")


def test_the_inner_contour_lies_inside_the_outer_one() -> None:
    inner, outer = (contour_to_mask(circle(15, 15, radius), (30, 30)) for radius in (5, 9))
    assert check_pair(inner, outer, "c.txt") == []
    crossing = contour_to_mask(circle(20, 15, 5), (30, 30))
    (finding,) = check_pair(crossing, outer, "c.txt")
    assert (finding.code, finding.severity, finding.location) == ("contours-cross", "warning", "c.txt")
    assert f"{(crossing & ~outer).sum()} of {crossing.sum()} pixels" in finding.message


@pytest.mark.parametrize("inner", [circle(15, 15, 9), circle(22, 15, 4)], ids=["larger", "mostly outside"])
def test_an_inner_contour_that_is_hardly_the_inner_one(inner: np.ndarray) -> None:
    outer = contour_to_mask(circle(15, 15, 7), (30, 30))
    mask = contour_to_mask(inner, (30, 30))
    (finding,) = check_pair(mask, outer, "c.txt")
    assert (finding.code, finding.severity) == ("contours-swapped", "error")
    assert f"{(mask & ~outer).sum()} of {mask.sum()} pixels" in finding.message
    assert finding.message.endswith(f"has {outer.sum()}: swapped?")


def test_a_vertex_is_named_as_its_file_has_it() -> None:
    """Where a file counts from 1, too."""
    assert check_contour(SQUARE + 4.5, (16, 16), "c.txt", first_pixel=1.0) == []
    (finding,) = check_contour(SQUARE + 5.0, (16, 16), "c.txt", first_pixel=1.0)
    assert finding.code == "contour-off-image"
    assert "3 of 4 vertices lie outside" in finding.message
    assert "the first at 17 9 (of first_pixel=1)" in finding.message

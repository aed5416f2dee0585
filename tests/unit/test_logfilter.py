"""What a participant may see of a log: canaries of every kind must not come through."""

import base64
import random
import time
import traceback
from pathlib import Path

import pytest

from tools.evaluation.logfilter import HIDDEN, MAX_BYTES, MAX_LINES, Known, filter_log, read_known

SOURCE = """\
import numpy


def main(images):
    values = numpy.zeros(3)
    return values[images]
"""

NAMES = [f"{number:06d}.jpg" for number in range(1, 21)]
CLASSES = ("AbdomenCT", "Hand")


@pytest.fixture
def known(tmp_path: Path) -> Known:
    (tmp_path / "bundle_inference").mkdir()
    (tmp_path / "bundle_inference" / "infer.py").write_text(SOURCE + "# Hand 000001 AbdomenCT\n")
    return read_known(tmp_path, NAMES, CLASSES)


def trace(message: str, path: str = "/opt/bundle_inference/infer.py", line: int = 6) -> list[str]:
    return [
        "Traceback (most recent call last):",
        f'  File "{path}", line {line}, in main',
        "    whatever the program prints here",
        f"IndexError: {message}",
    ]


def test_an_own_traceback_comes_through(known: Known) -> None:
    shown = filter_log(trace("index 5 is out of bounds for axis 0 with size 3"), known)
    assert shown == (
        "Traceback (most recent call last):",
        '  File "bundle_inference/infer.py", line 6, in main',
        "    return values[images]",
        "IndexError: index 5 is out of bounds for axis 0 with size 3",
    )


def test_the_last_progress_comes_through(known: Known) -> None:
    assert filter_log(["5/20 images", "10 / 20", "17/250", "hello"], known) == ("10/20 images",)


def test_a_library_is_only_said_to_be_one(known: Known) -> None:
    shown = filter_log(trace("list index out of range", "/usr/lib/python3/numpy/core.py", 3), known)
    assert shown[1] == "  (in a library)"


def test_a_source_line_is_the_submitted_one_not_the_printed_one(known: Known) -> None:
    assert "    whatever the program prints here" not in filter_log(trace("x"), known)


@pytest.mark.parametrize("wrap", ["{}", "ValueError: {}", "raised {}", "{}/20 images", "20/20 {}"])
def test_canaries_do_not_come_through(known: Known, wrap: str) -> None:
    pixels = random.Random(0).randbytes(400)
    canaries = [
        *NAMES[:3],
        *(name.removesuffix(".jpg") for name in NAMES[:3]),
        *CLASSES,
        base64.b64encode(pixels).decode(),
        pixels.hex(),
        " ".join(map(str, pixels)),
        str(int.from_bytes(pixels, "big")),
        "".join(chr(97 + byte % 26) for byte in pixels),
        "".join(chr(0x4E00 + byte) for byte in pixels),
    ]
    for canary in canaries:
        for lines in ([wrap.format(canary)], trace(wrap.format(canary)), trace("x", path=f"/{canary}/a.py")):
            shown = "\n".join(filter_log(lines, known))
            pieces = {canary} if len(canary) < 12 else {canary[i : i + 12] for i in range(len(canary) - 12)}
            assert not any(piece in shown for piece in pieces), (canary[:40], shown)


def test_a_function_or_an_error_can_have_no_telling_name(known: Known) -> None:
    lines = [
        "Traceback (most recent call last):",
        '  File "/opt/bundle_inference/infer.py", line 6, in pixels_00ff12',
        "Pixels00ff12Error: none",
    ]
    shown = filter_log(lines, known)
    assert f"line 6, in {HIDDEN}" in shown[1]
    assert shown[-1].startswith(f"{HIDDEN}:")


def test_the_budget_holds(known: Known) -> None:
    flood = [line for n in range(5000) for line in trace(f"index {n} is out of bounds")]
    shown = filter_log(flood, known)
    assert len(shown) <= MAX_LINES
    assert sum(len(line) + 1 for line in shown) <= MAX_BYTES
    assert shown[-1] == "IndexError: index 4999 is out of bounds"


def test_a_real_traceback(tmp_path: Path) -> None:
    path = tmp_path / "infer.py"
    path.write_text("def main():\n    return {}['size']\n\nmain()\n")
    try:
        exec(compile(path.read_text(), f"/opt/{path.name}", "exec"))
    except KeyError:
        lines = traceback.format_exc().splitlines()
    shown = filter_log(lines, read_known(tmp_path, NAMES, CLASSES))
    assert "    return {}['size']" in shown
    assert shown[-1] == "KeyError: 'size'"


def test_names_of_functions_and_signs_carry_nothing(known: Known) -> None:
    lines = [
        "Traceback (most recent call last):",
        f'  File "/opt/bundle_inference/infer.py", line 6, in {".".join(["main", "numpy"] * 200)}',
        "ValueError: " + ",.;:()[]" * 60,
    ]
    shown = "\n".join(filter_log(lines, known))
    assert "main.numpy" not in shown
    assert len(shown) < 200


def test_a_flood_of_frames_is_cut_short(known: Known) -> None:
    frame = '  File "/opt/bundle_inference/infer.py", line {}, in main'
    lines = ["Traceback (most recent call last):", *(frame.format(1 + n % 6) for n in range(200_000))]
    began = time.monotonic()
    filter_log([*lines, "RecursionError: maximum"], known)
    assert time.monotonic() - began < 5


def test_pythons_own_messages_keep_their_meaning(known: Known) -> None:
    for message in (
        "No module named 'numpy'",
        "integer division or modulo by zero",
        "list index out of range",
    ):
        assert filter_log([f"ValueError: {message}"], known) == (f"ValueError: {message}",)

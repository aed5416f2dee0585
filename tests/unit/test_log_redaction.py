"""What a participant may see of a log: canaries of every kind must not come through."""

import base64
import random
import traceback
from pathlib import Path

import pytest

from challenge_bundle.evaluation.log_redaction import (
    HIDDEN,
    LAST_LINES,
    MAX_BYTES,
    MAX_LINES,
    Known,
    filter_log,
    read_known,
    show_log,
)

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
    shown = filter_log(trace("x"), known)
    assert "    values = numpy.zeros(3)" not in shown
    assert "    return values[images]" in shown
    assert "    whatever the program prints here" not in shown


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


def test_the_name_of_a_function_or_an_error_reveals_nothing(known: Known) -> None:
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


def test_only_the_last_500_lines_are_looked_at(known: Known) -> None:
    frame = '  File "/opt/bundle_inference/infer.py", line {}, in main'
    flood = (frame.format(1 + n % 6) for n in range(200_000))
    lines = ["Traceback (most recent call last):", *flood, "RecursionError: maximum"]
    assert filter_log(lines, known) == ("RecursionError: maximum",)
    assert filter_log(["ValueError: 'size'", *["."] * 499], known) == ("ValueError: 'size'",)
    assert filter_log(["ValueError: 'size'", *["."] * 500], known) == ()


def test_pythons_own_messages_keep_their_meaning(known: Known) -> None:
    for message in (
        "No module named 'numpy'",
        "integer division or modulo by zero",
        "list index out of range",
    ):
        assert filter_log([f"ValueError: {message}"], known) == (f"ValueError: {message}",)


def of_words(*words: str, sources: dict[str, list[str]] | None = None) -> Known:
    return Known(sources or {}, frozenset(words), 20)


def test_an_error_without_a_traceback_is_shown_if_python_knows_it() -> None:
    assert filter_log(["KeyError", "KeyError: size", "Pixels: size", "print: size"], of_words("size")) == (
        "KeyError",
        "KeyError: size",
    )


def test_a_line_within_a_traceback_is_no_error_unless_it_begins_the_line() -> None:
    lines = ["Traceback (most recent call last):", " ValueError: size", "V", "KeyError: size"]
    # The first that begins its line ends the traceback; what it is called is not known.
    assert filter_log(lines, of_words("size")) == (
        "Traceback (most recent call last):",
        "...",
        "KeyError: size",
    )


def test_after_a_traceback_only_known_errors_and_progress_are_shown() -> None:
    lines = [*trace("x"), "Pixels_00ff: size", "5/20"]
    shown = filter_log(lines, of_words("size", sources={"infer.py": ["one", "two"]}))
    assert shown == (
        "5/20 images",
        "Traceback (most recent call last):",
        "  (in a library)",
        "IndexError: ...",
    )


def test_the_first_and_the_last_line_of_a_source_can_be_shown() -> None:
    known = of_words("main", sources={"bundle_inference/infer.py": ["first", "second"]})
    for number, shown in ((0, None), (1, "    first"), (2, "    second"), (3, None)):
        lines = filter_log(trace("x", line=number)[:2], known)
        assert lines[1] == (shown and f'  File "bundle_inference/infer.py", line {number}, in main') or (
            lines[1] == "  (in a library)"
        )
        assert lines[2:] == ((shown,) if shown else ())


def test_a_message_has_at_most_24_words() -> None:
    shown = filter_log(["ValueError: " + " ".join(["size"] * 25)], of_words("size"))
    assert shown == ("ValueError: " + "size " * 24 + "...",)


def test_a_message_has_at_most_four_numbers_each_after_a_word_and_of_five_digits() -> None:
    known = of_words("size")
    assert filter_log(["ValueError: 1 size 12345 size 123456 size 7 8"], known) == (
        "ValueError: ... size 12345 size ... size 7 ...",
    )
    numbers = " ".join(f"size {number}" for number in range(1, 7))
    assert filter_log([f"ValueError: {numbers}"], known) == (
        "ValueError: size 1 size 2 size 3 size 4 size ... size ...",
    )


def test_a_number_after_a_number_is_hidden_and_two_signs_may_follow_it() -> None:
    assert filter_log(["ValueError: size 1 2 size 3, (size)"], of_words("size")) == (
        "ValueError: size 1 ... size 3, size)",
    )


def test_the_last_three_errors_without_a_traceback_are_shown() -> None:
    lines = [f"ValueError: size {number}" for number in range(1, 6)]
    assert filter_log(lines, of_words("size")) == tuple(lines[2:])


def test_an_unknown_word_does_not_let_a_number_through() -> None:
    assert filter_log(["ValueError: size pixels 7"], of_words("size")) == ("ValueError: size ...",)


def test_a_message_has_at_most_300_characters_and_known_signs() -> None:
    word = "s" * 29
    (shown,) = filter_log(["ValueError: " + f"{word} " * 24], of_words(word))
    assert shown == ("ValueError: " + f"{word} " * 10).rstrip()
    assert filter_log(["ValueError: " + f"{word} " * 9 + "s" * 40], of_words(word, "s" * 40)) == (
        "ValueError: " + f"{word} " * 9 + "s" * 30,
    )
    assert filter_log(["ValueError: size\u2588\u2591%$ size,,,size"], of_words("size")) == (
        "ValueError: size size,,size",
    )


def test_progress_counts_the_test_images_and_no_more() -> None:
    known = of_words()
    assert filter_log(["20/20", "21/20", "3/19"], known) == ("20/20 images",)
    assert filter_log(["0/20"], known) == ("0/20 images",)


def test_the_last_three_errors_are_shown_each_with_its_own_frames() -> None:
    source = {"infer.py": [f"line_{number}" for number in range(1, 9)]}
    known = of_words("main", "size", sources=source)
    flood = [line for number in range(1, 6) for line in trace("size", line=number)]
    shown = filter_log(flood, known)
    assert [line for line in shown if line.startswith("    ")] == ["    line_3", "    line_4", "    line_5"]
    assert shown.count("Traceback (most recent call last):") == 3
    assert shown.count("IndexError: size") == 3
    # Two tracebacks, of which the first has no error of its own, are two blocks.
    cut_off = [trace("size", line=1)[0], trace("size", line=1)[1]] * 3
    assert len(filter_log([*cut_off, *trace("size", line=2)], known)) == 3 + 3 + 4


def test_a_repeated_frame_is_shown_once_in_its_traceback() -> None:
    known = of_words("main", "size", sources={"infer.py": ["again()"]})
    recursion = [trace("size")[0], *[trace("size", line=1)[1]] * 30, trace("size")[3]]
    assert filter_log(recursion, known) == (
        "Traceback (most recent call last):",
        '  File "infer.py", line 1, in main',
        "    again()",
        "IndexError: size",
    )


def test_errors_that_are_repeated_are_shown_as_often_as_they_came() -> None:
    assert filter_log(["ValueError: size"] * 2, of_words("size")) == ("ValueError: size",) * 2


def test_at_most_40_lines_and_4096_bytes_are_shown() -> None:
    long = {"infer.py": [f"{number:02d}" for number in range(1, 60)]}
    frames = [trace("size", line=number)[1] for number in range(1, 60)]
    shown = filter_log(
        ["Traceback (most recent call last):", *frames, "ValueError: size"], of_words("size", sources=long)
    )
    assert len(shown) == 40
    assert shown[-1] == "ValueError: size"
    # Each source line of 1,000 characters takes 1,005 bytes with its indent and end.
    wide = {"infer.py": [letter * 1000 for letter in "abcde"]}
    frames = [trace("size", line=number)[1] for number in range(1, 6)]
    shown = filter_log(["Traceback (most recent call last):", *frames], of_words(sources=wide))
    assert [line.strip()[0] for line in shown] == ["F", "c", "F", "d", "F", "e"]
    total = sum(len(line.encode()) + 1 for line in shown)
    assert total <= 4096


@pytest.mark.parametrize(("spare", "is_shown"), [(0, True), (1, False)])
def test_the_budget_is_4096_bytes_to_the_byte(spare: int, is_shown: bool) -> None:
    # The second block leaves room for the first, of 11 bytes, or one byte less.
    frame = '  File "infer.py", line 1, in ...'
    length = 4096 - len("ValueError\n") - len("KeyError\n") - len(frame + "\n") - len("    \n") + spare
    length -= len("Traceback (most recent call last):\n")
    source = {"infer.py": ["s" * length]}
    lines = ["ValueError", trace("x")[0], '  File "/infer.py", line 1, in x', "KeyError"]
    shown = filter_log(lines, of_words(sources=source))
    assert shown[-1] == "KeyError"
    assert (shown[0] == "ValueError") is is_shown
    assert sum(len(line.encode()) + 1 for line in shown) == (4096 if is_shown else 4097 - len("ValueError\n"))


def test_names_of_images_and_classes_are_no_words_even_if_the_submission_has_them(tmp_path: Path) -> None:
    (tmp_path / "infer.py").write_text("scan_0001 = hand = HAND = 'scan_0002.png'\nother = 1\n")
    known = read_known(tmp_path, ["scan_0001.png", "SCAN_0002.png", "plain"], ["Hand"])
    assert {"other", "png", "size"} <= known.words
    assert not {"scan_0001", "scan_0002", "hand", "HAND", "plain"} & known.words
    assert known.images == 3


def test_sources_beyond_4_mib_together_are_not_known(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"first\n" + b"#" * (4 * 2**20 - 6 - 7))
    (tmp_path / "b.py").write_bytes(b"second\n")
    known = read_known(tmp_path, [], [])
    assert {"first", "second"} <= known.words
    (tmp_path / "b.py").write_bytes(b"second \n")
    assert list(read_known(tmp_path, [], []).sources) == ["a.py"]


def test_a_source_that_is_not_utf8_is_known_as_far_as_it_can_be(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"caf\xe9 = opening\n")
    assert "opening" in read_known(tmp_path, [], []).words


def test_a_process_of_its_own_shows_the_same(known: Known, tmp_path: Path) -> None:
    lines = ["x"] * LAST_LINES + trace("index 5 is out of bounds for axis 0 with size 3") + ["7/20", "Hand"]
    shown = show_log(tmp_path, lines, frozenset(NAMES), CLASSES)
    assert len(shown) == 5
    assert shown == filter_log(lines, known)
    # Where the code cannot be read within the limits, nothing is shown.
    (tmp_path / "loop.py").symlink_to("loop.py")
    assert show_log(tmp_path, lines, NAMES, CLASSES) == ()

"""Which image files are taken, each fault in one line, and when two files show a network the same."""

import hashlib
import io
import os
import re
import stat
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from challenge_bundle import image_io
from challenge_bundle.dataset.staging import ReadImage, read_image
from challenge_bundle.findings import Finding
from challenge_bundle.image_io import (
    PictureError,
    hash_picture,
    ignore_warnings,
    is_transparent,
    reading,
    to_eight_bits,
    to_rgb,
)
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.sources.base import SourceImage
from tests.image_files import (
    REFUSED,
    SAME_GRAY,
    TAKEN,
    big_endian,
    changed,
    colour,
    deep,
    gray,
    real,
    saved,
    times_257,
    with_alpha,
)


@pytest.fixture(autouse=True)
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        ignore_warnings()
        yield


def check(name: str, data: bytes) -> ReadImage | str:
    """An image, or what is wrong with it, in words."""
    found = read_image(SourceImage(name, "a", None, lambda: data))
    return found.text if isinstance(found, Finding) else found


def seen(data: bytes) -> str:
    with reading(data) as image:
        return hash_picture(image)


@pytest.mark.parametrize("name", TAKEN)
def test_taken(name: str) -> None:
    sound = check(name, TAKEN[name]())
    assert isinstance(sound, ReadImage), sound
    assert len(sound.pixels_sha256) == 64


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name: str) -> None:
    make, words = REFUSED[name]
    with pytest.raises(PictureError, match=words) as fault, reading(make()):
        pass
    assert "\n" not in str(fault.value)
    assert check(name, make()) == f"{name}: {fault.value}"


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_no_other_decoder_is_tried_whatever_the_name(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostScript is a program: it must not come to Ghostscript, of whatever form it is."""
    called = tmp_path / "called"
    for name in ("gs", "gswin32c"):
        (tmp_path / name).write_text(f"#!/bin/sh\ntouch {called}\n")
        (tmp_path / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    plain = saved(colour(), "EPS")
    with_preview = struct.pack("<4s6I2x", b"\xc5\xd0\xd3\xc6", 30, len(plain), 0, 0, 0, 0) + plain
    for data in (plain, with_preview, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n"):
        (tmp_path / f"a{suffix}").write_bytes(data)
        for source in (data, tmp_path / f"a{suffix}"):
            with pytest.raises(PictureError, match="not an image"), reading(source):
                pass
    assert not called.exists()


def test_every_format_that_pillow_writes_under_every_suffix() -> None:
    """Nothing is taken that is not in the list, also with the right suffix of another."""
    Image.init()
    foreign = 0
    for kind in sorted(Image.SAVE):
        for mode in ("RGB", "L", "1"):
            try:
                data = saved(colour().convert(mode), kind)
            except Exception:
                continue
            result = check("a.png", data)
            if kind in (*image_io.FORMATS, "MPO"):
                assert isinstance(result, ReadImage) or "mode" in result, kind
            elif isinstance(result, ReadImage):
                assert (kind, result.format) == ("DIB", "BMP")
            else:
                assert result.startswith("a.png: not an image; expected jpg,"), kind
                foreign += 1
    assert foreign > 20


@pytest.mark.parametrize(
    "fault",
    [
        NotImplementedError("DX10"),
        struct.error("unpack requires 4 bytes"),
        MemoryError(),
        OverflowError("too large"),
        TypeError("no"),
        IndexError("list index out of range"),
        RecursionError("too deep"),
        KeyError("a\nb"),
        AssertionError(),
        ZeroDivisionError("division by zero"),
        UnicodeDecodeError("ascii", b"\xff", 0, 1, "no"),
        Image.DecompressionBombError("too many"),
        EOFError(),
    ],
)
def test_any_exception_of_a_decoder_is_one_line(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Image.Image) -> None:
        raise fault

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    result = check("a.png", saved(gray(), "PNG"))
    assert isinstance(result, str)
    assert result.startswith("a.png: ")
    assert len(result) > len("a.png: ")
    assert "\n" not in result


def test_damaged_headers_of_every_format_end_in_one_line() -> None:
    """Each byte of the first 200 changed in several ways, in one file of each format."""
    refused = 0
    for name in ("gray.png", "gray.jpg", "gray.gif", "deep.tif", "colour.webp", "colour.bmp", "plain.pgm"):
        data = TAKEN[name]()
        for place in range(min(len(data), 200)):
            for value in (0, 1, 0x7F, 0x80, 0xFF):
                wrong = bytearray(data)
                wrong[place] = value
                result = check(name, bytes(wrong))
                if isinstance(result, str):
                    refused += 1
                    assert "\n" not in result
                    assert result.startswith(f"{name}: ")
    assert refused > 500


def test_limits_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_io, "MAX_PIXELS", 99)
    assert isinstance(check("a.png", saved(gray(), "PNG")), ReadImage)
    assert (
        check("a.png", saved(Image.new("L", (10, 10)), "PNG")) == "a.png: 10x10 pixels; at most 99 are read"
    )


@pytest.mark.parametrize("name", SAME_GRAY)
def test_one_gray_picture_in_every_form(name: str) -> None:
    assert seen(SAME_GRAY[name]()) == seen(saved(gray(), "PNG"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: saved(colour(), "TIFF"),
        lambda: saved(colour(), "BMP"),
        lambda: saved(colour(), "PPM"),
        lambda: saved(with_alpha(colour()), "PNG"),
        lambda: saved(with_alpha(colour()), "WEBP", lossless=True, exact=True),
    ],
)
def test_one_colour_picture_in_every_form(make: Callable[[], bytes]) -> None:
    assert seen(make()) == seen(saved(colour(), "PNG"))


def test_one_deep_picture_in_every_form() -> None:
    forms = [
        saved(deep(), "PNG"),
        saved(deep(), "TIFF"),
        big_endian(deep()),
        saved(deep().convert("I"), "TIFF"),
        saved(Image.fromarray((np.asarray(deep()) / 65535).astype(np.float32)), "TIFF"),
    ]
    assert len(set(map(seen, forms))) == 1


def test_one_bit_pictures_are_black_and_white() -> None:
    bits = gray().convert("1")
    forms = [saved(bits, kind) for kind in ("PNG", "TIFF", "BMP", "PPM")]
    assert {*map(seen, forms), seen(saved(bits.convert("L"), "PNG"))} == {seen(saved(bits, "PNG"))}


def test_other_pictures_are_other_pictures() -> None:
    """Near each of the forms above: one level of one pixel, the sides exchanged, the sign of a rounding."""
    level = int(np.asarray(gray())[4, 3])
    sixteen = int(np.asarray(deep())[4, 3])
    one_channel = np.asarray(gray().convert("RGB")).copy()
    one_channel[4, 3, 2] ^= 1
    first_row = np.asarray(gray().convert("RGB")).copy()
    first_row[0, 0, 1] ^= 1
    forms = [
        saved(gray(), "PNG"),
        saved(changed(gray(), level ^ 1), "PNG"),
        saved(gray().transpose(Image.Transpose.FLIP_LEFT_RIGHT), "PNG"),
        saved(Image.frombytes("L", (11, 9), gray().tobytes()), "PNG"),
        saved(Image.fromarray(one_channel), "PNG"),
        saved(Image.fromarray(first_row), "PNG"),
        saved(changed(times_257(gray()), level * 257 ^ 1), "PNG"),
        saved(deep(), "PNG"),
        saved(changed(deep(), sixteen ^ 1), "PNG"),
        saved(real(0.1, 0.9), "TIFF"),
        saved(colour(), "PNG"),
        saved(Image.fromarray(np.asarray(colour())[..., ::-1].copy()), "PNG"),
    ]
    assert len(set(map(seen, forms))) == len(forms)


def test_the_digest_of_plain_gray_and_colour_stays_what_it_was() -> None:
    """Written down, so that no change of it passes unseen: imports remember digests."""
    for mode, head, pixels in (("L", b"L 3 2\n", bytes([7])), ("RGB", b"RGB 3 2\n", bytes([7, 8, 9]))):
        image = Image.new(mode, (3, 2), tuple(pixels) if mode == "RGB" else 7)
        assert seen(saved(image, "PNG")) == hashlib.sha256(head + pixels * 6).hexdigest()
    # With another byte order of the machine, too.
    image = Image.new("I;16", (3, 2), 258)
    assert seen(saved(image, "PNG")) == hashlib.sha256(b"I;16 3 2\n" + b"\2\1" * 6).hexdigest()


def test_transparent_pixels_are_told_from_a_full_alpha_channel() -> None:
    def transparent(data: bytes) -> bool:
        with reading(data) as image:
            return is_transparent(image)

    first = colour().convert("P").tobytes()[0]
    assert transparent(saved(with_alpha(gray()), "PNG"))
    assert transparent(saved(colour().convert("P"), "PNG", transparency=first))
    assert not transparent(saved(colour().convert("RGBA"), "PNG"))
    assert not transparent(saved(gray().convert("LA"), "PNG"))
    assert not transparent(saved(colour(), "PNG"))
    assert not transparent(saved(deep(), "PNG", transparency=3))
    almost = colour().convert("RGBA")
    almost.putpixel((2, 3), (*almost.getpixel((2, 3))[:3], 254))  # type: ignore[index]
    assert transparent(saved(almost, "PNG"))


def test_a_file_is_closed_when_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(REFUSED["frames.gif"][0]())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PictureError), reading(path):
            pass
    # The exception still refers to where it came from, so that only an explicit close has closed it.
    with pytest.raises(PictureError) as fault, reading(path):
        pass
    assert fault.value.args
    links = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert str(path) not in links
    with pytest.raises(PictureError, match="No such file"), reading(tmp_path / "none.png"):
        pass
    with reading(io.BytesIO(saved(gray(), "PNG")).getvalue()) as image:
        assert image.size == (9, 11)


def test_pillow_opens_files_in_one_place_of_the_tool_and_of_each_program() -> None:
    """Wherever else it did, other formats would be tried."""
    calls = {}
    for folder in ("tools", "bundle_training", "bundle_inference", "scoring_program"):
        for path in sorted((PROJECT_ROOT / folder).rglob("*.py")):
            found = re.findall(r"\bImage\.open\([^\n]*", path.read_text())
            if found:
                calls[path.relative_to(PROJECT_ROOT).as_posix()] = found
    assert set(calls) == {
        "tools/challenge_bundle/image_io.py",
        "bundle_training/data.py",
        "bundle_inference/infer.py",
    }
    assert all(len(found) == 1 and "formats=FORMATS" in found[0] for found in calls.values())


def test_floating_point_values_between_those_of_16_bits_stay_apart() -> None:
    values = np.asarray(real(0.1, 0.9), np.float64)
    rounded = Image.fromarray((np.rint(values * 65535) / 65535).astype(np.float32))
    half = Image.fromarray(((np.floor(values * 65535) + 0.5) / 65535).astype(np.float32))
    assert len({seen(saved(one, "TIFF")) for one in (real(0.1, 0.9), rounded, half)}) == 3


def test_16_bits_become_the_8_that_they_stand_for() -> None:
    levels = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    forms = [times_257(levels), times_257(levels).convert("I"), levels.convert("RGBA"), levels.convert("P")]
    forms.append(Image.fromarray(np.asarray(levels, np.float32) / np.float32(255)))
    for form in forms:
        gray_levels = np.asarray(to_eight_bits(form).convert("L"), np.int64)
        np.testing.assert_allclose(gray_levels, np.asarray(levels), atol=0, err_msg=form.mode)


def test_transparent_palettes_become_rgb_without_a_warning() -> None:
    with reading(TAKEN["palette_alpha.png"]()) as image, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert to_rgb(image).mode == "RGB"
        assert "transparency" in image.info

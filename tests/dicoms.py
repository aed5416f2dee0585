"""Small DICOM files and contours for the tests, written with pydicom."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from challenge_bundle.installation import PROJECT_ROOT

REAL = PROJECT_ROOT.parent / "shared" / "data" / "cardiac_contours" / "final_data"
"""The Sunnybrook images of four patients, where they are at hand."""

SIZE_PX = 32


def write_dicom(path: Path, pixels: np.ndarray | None = None, **tags: Any) -> Path:
    """Write one image (H, W), int16 or uint16, noise by default; tags by keyword, None leaves one out."""
    if pixels is None:
        generator = np.random.default_rng(list(str(path).encode()))
        pixels = generator.integers(0, 1000, (SIZE_PX, SIZE_PX), dtype=np.int16)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    values = {
        "PhotometricInterpretation": "MONOCHROME2",
        "PatientID": "P1",
        "SeriesInstanceUID": "1.2.3",
        "InstanceNumber": 7,
        "Modality": "MR",
        **tags,
    }
    for keyword, value in values.items():
        if value is None:
            if keyword in dataset:
                delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def change_element(path: Path, keyword: str, vr: str, value: Any) -> Path:
    """Give an element of a file another value representation and value, right or wrong.

    pydicom writes no text as a number: the bytes are put there as OB and then called what they are not.
    """
    dataset = pydicom.dcmread(path)
    tag = pydicom.datadict.tag_for_keyword(keyword)
    assert tag is not None, keyword
    if vr == "SQ":
        dataset[tag] = pydicom.DataElement(tag, vr, value)
        dataset.save_as(path)
        return path
    raw = _encode(vr, value)
    dataset[tag] = pydicom.DataElement(tag, "OB", raw)
    dataset.save_as(path)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    length = struct.pack("<2xI" if vr in _LONG else "<H", len(raw))
    placed = head + b"OB" + struct.pack("<2xI", len(raw)) + raw
    data = path.read_bytes()
    assert data.count(placed) == 1
    path.write_bytes(data.replace(placed, head + vr.encode() + length + raw))
    return path


_LONG = ("OB", "OW", "OF", "OD", "UN")
"""Value representations whose length takes four bytes."""


def _encode(vr: str, value: Any) -> bytes:
    values = value if isinstance(value, list) else [value]
    if isinstance(value, bytes):
        raw = value
    elif vr in ("US", "FD"):
        raw = struct.pack(f"<{len(values)}{'H' if vr == 'US' else 'd'}", *values)
    elif vr == "AT":
        raw = b"".join(struct.pack("<HH", one >> 16, one & 0xFFFF) for one in values)
    else:
        raw = "\\".join(values).encode()
    return raw + b" " * (len(raw) % 2)


def lut_item(first: int, entries: list[int], bits: int = 8, count: int | None = None) -> Dataset:
    """An item of a VOI LUT or Modality LUT Sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [count or len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return item


def circle(x: float, y: float, radius: float, count: int = 200) -> np.ndarray:
    """Vertices (N, 2) of a circle, in pixels."""
    angle = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)
    return np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)])


def write_contour(path: Path, contour_px: np.ndarray) -> Path:
    """Write vertices (N, 2) as lines of "x y", with two decimals."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, contour_px, fmt="%.2f")
    return path


def contour_path(folder: Path, original_id: str, kind: str, number: int) -> Path:
    """Where a contour lies in the link.csv layout; kind is i or o."""
    name = f"IM-0001-{number:04d}-{kind}contour-manual.txt"
    return folder / "contourfiles" / original_id / f"{kind}-contours" / name


def write_linked(folder: Path, patients: int = 3, slices: int = 6) -> Path:
    """Write a link.csv layout: bright disks, an inner contour on each, an outer one on every second."""
    rows = ["patient_id,original_id"]
    for patient in range(patients):
        rows.append(f"D{patient},C-{patient}")
        for number in range(1, slices + 1):
            x, y, radius = 12.0 + patient, 13.0 + min(number, 7), 4.0 + min(number, 12) / 3
            grid_y, grid_x = np.mgrid[:SIZE_PX, :SIZE_PX]
            distance = np.hypot(grid_x - x, grid_y - y)
            noise = np.random.default_rng([patient, number]).integers(0, 20, distance.shape)
            pixels = (100 + 800 * (distance < radius) + noise).astype(np.int16)
            write_dicom(
                folder / "dicoms" / f"D{patient}" / f"{number}.dcm",
                pixels,
                PatientID=f"D{patient}",
                InstanceNumber=number,
                SeriesDescription=f"cine {number % 2}",
            )
            write_contour(contour_path(folder, f"C-{patient}", "i", number), circle(x, y, radius))
            if number % 2 == 0:
                write_contour(contour_path(folder, f"C-{patient}", "o", number), circle(x, y, radius + 3))
    (folder / "link.csv").write_text("\n".join(rows) + "\n")
    return folder

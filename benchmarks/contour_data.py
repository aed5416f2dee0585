"""DICOM images with contours to be timed on: the real ones over and over, else drawn ones."""

import shutil
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
REAL = ROOT.parent / "shared" / "data" / "cardiac_contours" / "final_data"
SIZE_PX = 256


def make_contour_data(folder: Path, copies: int) -> str:
    """Fill a folder in the link.csv layout.

    Args:
        folder: Is made.
        copies: Of the real images, or of as many drawn ones, under names of their own.

    Returns:
        What they are, for a person.
    """
    source = REAL
    if not REAL.is_dir():
        source = folder.with_name(f"{folder.name}-drawn")
        _draw(source)
    links = [line.split(",") for line in (source / "link.csv").read_text().splitlines()[1:]]
    rows = ["patient_id,original_id"]
    for copy in range(copies):
        for patient_id, original_id in links:
            rows.append(f"{patient_id}-{copy},{original_id}-{copy}")
            shutil.copytree(source / "dicoms" / patient_id, folder / "dicoms" / f"{patient_id}-{copy}")
            contours = folder / "contourfiles" / f"{original_id}-{copy}"
            shutil.copytree(source / "contourfiles" / original_id, contours)
    (folder / "link.csv").write_text("\n".join(rows) + "\n")
    return "the Sunnybrook images of four patients, repeated" if REAL.is_dir() else "drawn disks, repeated"


def _draw(folder: Path, images: int = 74) -> None:
    """Noise of the size and type of the real images, with an inner contour each."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    generator = np.random.default_rng(0)
    angle = np.linspace(0.0, 2.0 * np.pi, 150, endpoint=False)
    dicoms, contours = folder / "dicoms" / "D0", folder / "contourfiles" / "C0" / "i-contours"
    dicoms.mkdir(parents=True)
    contours.mkdir(parents=True)
    (folder / "link.csv").write_text("patient_id,original_id\nD0,C0\n")
    for number in range(1, images + 1):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = MRImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
        dataset.Rows = dataset.Columns = SIZE_PX
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = (
            16,
            16,
            15,
            1,
        )
        dataset.PixelData = generator.integers(0, 1000, (SIZE_PX, SIZE_PX), dtype="<i2").tobytes()
        dataset.save_as(dicoms / f"{number}.dcm", enforce_file_format=True)
        radius = generator.uniform(10.0, 30.0)
        contour_px = 128.0 + radius * np.column_stack([np.cos(angle), np.sin(angle)])
        np.savetxt(contours / f"IM-0001-{number:04d}-icontour-manual.txt", contour_px, fmt="%.2f")

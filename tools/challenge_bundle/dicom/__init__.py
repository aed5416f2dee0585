"""DICOM images and contours: a library, and what `dicom:` and `data contact-sheet` read.

Example:
    >>> from pathlib import Path
    >>> from challenge_bundle.dicom import ContourBatches, read_links
    >>> slices = read_links(Path("DIR")).slices  # the layout with a link.csv
    >>> for images, masks in ContourBatches(slices, 16, seed=0, cache=Path("contours.h5")):
    ...     print(images.shape, masks.shape)  # (16, 1, 256, 256) float32, (16, 1, 256, 256) bool
"""

from typing import TYPE_CHECKING

from challenge_bundle.lazy import lazy_names

if TYPE_CHECKING:
    from challenge_bundle.dicom.augmentation import Augmentation
    from challenge_bundle.dicom.batches import ContourBatches
    from challenge_bundle.dicom.contact_sheet import write_sheet
    from challenge_bundle.dicom.contours import contour_to_mask, read_contour
    from challenge_bundle.dicom.display import to_gray
    from challenge_bundle.dicom.reading import DicomHeader, DicomImage, read_dicom, read_header
    from challenge_bundle.dicom.sample_cache import SampleForm, read_sample
    from challenge_bundle.dicom.sunnybrook import ContourSlice, check_slices, read_folder, read_links
    from challenge_bundle.dicom.torch_batches import TorchBatches

__all__ = [
    "Augmentation",
    "ContourBatches",
    "ContourSlice",
    "DicomHeader",
    "DicomImage",
    "SampleForm",
    "TorchBatches",
    "check_slices",
    "contour_to_mask",
    "read_contour",
    "read_dicom",
    "read_folder",
    "read_header",
    "read_links",
    "read_sample",
    "to_gray",
    "write_sheet",
]

__getattr__ = lazy_names(
    __name__,
    {
        "Augmentation": "augmentation",
        "ContourBatches": "batches",
        "ContourSlice": "sunnybrook",
        "DicomHeader": "reading",
        "DicomImage": "reading",
        "SampleForm": "sample_cache",
        "TorchBatches": "torch_batches",
        "check_slices": "sunnybrook",
        "contour_to_mask": "contours",
        "read_contour": "contours",
        "read_dicom": "reading",
        "read_folder": "sunnybrook",
        "read_header": "reading",
        "read_links": "sunnybrook",
        "read_sample": "sample_cache",
        "to_gray": "display",
        "write_sheet": "contact_sheet",
    },
)

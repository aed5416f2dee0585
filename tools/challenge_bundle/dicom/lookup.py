"""Lookup tables of DICOM files: Modality LUT and VOI LUT."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from challenge_bundle.dicom.elements import ElementError, describe, read_values

if TYPE_CHECKING:
    from pydicom import Dataset

_DEPTHS = range(8, 17)


@dataclass(frozen=True, slots=True)
class Lut:
    """A lookup table.

    Args:
        first: The value that the first entry is for; lower ones get that entry, too high ones the last.
        entries: (N,), float64.
        highest: The highest value that an entry can have.
    """

    first: int
    entries: NDArray[np.float64] = field(compare=False, repr=False)
    highest: float

    def apply(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Look values up.

        Args:
            values: (H, W).

        Returns:
            Entries (H, W).
        """
        places = np.clip(np.rint(values.astype(np.float64) - self.first), 0, len(self.entries) - 1)
        return self.entries[places.astype(np.int64)]


def read_lut(dataset: "Dataset", keyword: str) -> Lut | None:
    """Read the first lookup table of a sequence; None where there is none, or one without entries.

    Args:
        dataset: The file.
        keyword: `ModalityLUTSequence` or `VOILUTSequence`.

    Raises:
        ElementError: The table is not as the standard has it.

    Source:
        DICOM PS3.3 C.11.1.1 (Modality LUT), C.11.2.1.1 (VOI LUT): LUTDescriptor is the number of entries (0
        for 65536), the value of the first and the bits of an entry.
    """
    from pydicom import Sequence

    try:
        sequence = dataset.get(keyword)
        if sequence is None or not len(sequence):
            return None
        if not isinstance(sequence, Sequence):
            raise ElementError(f"{keyword} is no sequence")
        item = sequence[0]
        if item.get("LUTData") is None or item.get("LUTDescriptor") is None:
            return None
        descriptor = [int(value) for value in read_values(item, "LUTDescriptor")]
        data = _entries(item, dataset)
    except ElementError:
        raise
    except Exception as fault:
        raise ElementError(f"{keyword} cannot be read ({describe(fault)})") from None
    if len(descriptor) != 3 or descriptor[2] not in _DEPTHS:
        raise ElementError(f"LUTDescriptor is {descriptor}, expected entries, first value and 8 to 16 bits")
    # A count over 32767 is negative where the element is taken as signed.
    count = descriptor[0] % 2**16 or 2**16
    if len(data) < count:
        raise ElementError(f"LUTData has {len(data)} entries, but LUTDescriptor says {count}")
    entries = data[:count].astype(np.float64)
    return Lut(descriptor[1], entries, max(2.0 ** descriptor[2] - 1.0, float(entries.max())))


def _entries(item: "Dataset", dataset: "Dataset") -> NDArray[Any]:
    """LUTData as numbers: a list, or bytes in the file's order, where 8-bit entries may share a word."""
    data = item["LUTData"].value
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data, np.int64)) % 2**16
    count, bits = (int(value) for value in item["LUTDescriptor"].value[::2])
    if bits == 8 and len(data) < 2 * (count % 2**16 or 2**16):
        return np.frombuffer(data, np.uint8)
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    order = "<" if syntax is None or syntax.is_little_endian else ">"
    return np.frombuffer(data[: len(data) // 2 * 2], f"{order}u2")

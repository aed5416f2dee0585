"""Peer: duplicates as imagededup's PHash finds them: a DCT hash an image, Hamming distances of all pairs."""

import json
import sys
from collections import defaultdict
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.fft import dctn

SIDE, LOW = 32, 8
MAX_DISTANCE = 10
FILES_A_TASK, ROWS_A_TASK = 100, 1000


def phash(path: str) -> np.uint64:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    low = dctn(pixels.astype(np.float32))[:LOW, :LOW].ravel()
    return np.packbits(low >= np.median(low[1:])).view(np.uint64)[0]


def near_pairs(codes: np.ndarray, start: int) -> list[tuple[int, int]]:
    found = []
    for row in range(start, min(start + ROWS_A_TASK, len(codes))):
        distances = np.bitwise_count(codes[row + 1 :] ^ codes[row])
        found += [(row, row + 1 + int(other)) for other in np.flatnonzero(distances <= MAX_DISTANCE)]
    return found


def main(folder: Path, output: Path) -> None:
    files = sorted(str(path) for path in folder.glob("*-data/*"))
    duplicates: dict[str, list[str]] = defaultdict(list)
    with Pool() as pool:
        codes = np.array(list(pool.imap(phash, files, FILES_A_TASK)))
        tasks = [(codes, start) for start in range(0, len(codes), ROWS_A_TASK)]
        for found in pool.starmap(near_pairs, tasks, chunksize=1):
            for one, other in found:
                duplicates[files[one]].append(files[other])
                duplicates[files[other]].append(files[one])
    output.write_text(json.dumps(duplicates))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

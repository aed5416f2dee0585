"""Peer: read, decode and hash every image of class folders, then DataFrame.to_sql."""

import hashlib
import io
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import sqlalchemy as sa
from PIL import Image


def main(folder: Path, url: str) -> None:
    rows = []
    for path in sorted(folder.glob("*/*")):
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            rows.append(
                {
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "width": image.width,
                    "height": image.height,
                    "mode": image.mode,
                    "format": image.format,
                    "label": path.parent.name,
                    "origin": str(path),
                    "added": datetime.now(UTC).isoformat(),
                    "data": data,
                }
            )
    engine = sa.create_engine(url)
    pd.DataFrame(rows).to_sql("image", engine, index=False, if_exists="replace", chunksize=1000)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

"""Training: a random forest of scikit-learn on small thumbnails; no torch, no ONNX.

python train.py [IN_DIR OUT_DIR]
"""

import csv
import json
import pickle
import sys
from pathlib import Path

from features import describe
from sklearn.ensemble import RandomForestClassifier


def main(in_dir: Path, out_dir: Path) -> None:
    """Write forest/trees.pkl, which program.toml promises, and two files more: they are kept as well."""
    settings = json.loads(Path(__file__).with_name("settings.json").read_text())
    with (in_dir / "training_solution.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    forest = RandomForestClassifier(settings["trees"], random_state=0)
    forest.fit([describe(in_dir / row["file"]) for row in rows], [row["class"] for row in rows])
    (out_dir / "forest").mkdir(parents=True, exist_ok=True)
    (out_dir / "forest" / "trees.pkl").write_bytes(pickle.dumps(forest))
    (out_dir / "notes.txt").write_text(f"{settings['trees']} trees")
    (out_dir / "model.json").write_text('{"trees": 20}')
    print(f"wrote forest/trees.pkl: {settings['trees']} trees")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3] or ("/mnt/in", "/mnt/out")))

"""A participant's own programs: a random forest by scikit-learn, with a module and settings of its own."""

import shutil
from pathlib import Path

from challenge_bundle.layout import PROJECT_ROOT

FOREST = Path(__file__).parent / "forest"
COPIED = "COPY model_output/best_metric_model.onnx model_output/model.json model_output/"


def write_forest_programs(root: Path) -> None:
    """Put them into a bundle, with this project's Dockerfiles changed as the README says."""
    for name in ("bundle_training", "bundle_inference"):
        shutil.copytree(FOREST / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(PROJECT_ROOT / name / "Dockerfile", root / name)
    dockerfile = root / "bundle_inference" / "Dockerfile"
    text = dockerfile.read_text()
    assert text.count(COPIED) == 1
    dockerfile.write_text(text.replace(COPIED, "COPY model_output/ model_output/"))

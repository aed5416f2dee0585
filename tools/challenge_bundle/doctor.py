"""What this machine can run, and what is missing for the rest."""

import importlib.util
import os
import platform
import shutil
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from challenge_bundle.errors import ManifestError, UnavailableError
from challenge_bundle.layout import Layout
from challenge_bundle.runs.programs import INFERENCE
from challenge_bundle.settings import Bundle, read_manifest
from challenge_bundle.wheelhouse import base_of, out_of_date

MINIMUM_PYTHON = (3, 11)
MINIMUM_FREE_GB = 3.0

_PACKAGES = {
    "data import": ("numpy", "PIL", "platformdirs", "requests"),
    "train": ("torch", "monai", "onnx", "tensorboard"),
    "infer": ("onnxruntime", "numpy", "PIL"),
    "score": ("sklearn", "numpy", "jinja2"),
    "report": ("matplotlib", "PIL"),
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at.

    Args:
        subject: What.
        good: Whether it is as it should be.
        needed: Whether nothing runs without it.
        found: What is there.
        mend: What to do, empty where nothing is to be done.
    """

    subject: str
    good: bool
    needed: bool
    found: str
    mend: str = ""


def examine(layout: Layout) -> list[Diagnosis]:
    """Look at Python, the packages of each command, the Docker Engine, a GPU and the disk."""
    return [_python(), *_packages(), *_engine(layout), *_wheels(layout), _gpu(), _disk(layout), _memory()]


def can_run(diagnoses: list[Diagnosis]) -> bool:
    """Tell whether the whole bundle can be run here."""
    return all(diagnosis.good for diagnosis in diagnoses if diagnosis.needed)


def _python() -> Diagnosis:
    good = sys.version_info >= MINIMUM_PYTHON
    mend = "" if good else f"install Python {'.'.join(map(str, MINIMUM_PYTHON))} or newer"
    return Diagnosis("Python", good, True, f"{platform.python_version()} ({sys.executable})", mend)


def _packages() -> list[Diagnosis]:
    diagnoses = []
    for command, names in _PACKAGES.items():
        missing = [name for name in names if importlib.util.find_spec(name) is None]
        found = f"missing: {', '.join(missing)}" if missing else "all there"
        mend = "run `make install`, or `python install.py`" if missing else ""
        diagnoses.append(Diagnosis(f"packages for `{command}`", not missing, True, found, mend))
    return diagnoses


def _engine(layout: Layout) -> list[Diagnosis]:
    from challenge_bundle.engines.choice import ISOLATED, connect_isolated

    try:
        engine = connect_isolated()
    except UnavailableError as fault:
        mend = "start Docker to run the programs as containers; without it they run as plain processes"
        return [Diagnosis(ISOLATED, False, False, str(fault), mend)]
    with closing(engine):
        found = [Diagnosis(ISOLATED, True, False, engine.description)]
        bundle = _bundle(layout)
        base = base_of(INFERENCE, bundle, layout) if bundle else ""
        if base:
            is_there = engine.inspect(base) is not None
            mend = (
                ""
                if is_there
                else f"`docker pull {base}` (or docker save and load), before anything is built"
            )
            found.append(Diagnosis("base image", is_there, False, base, mend))
    return found


def _wheels(layout: Layout) -> list[Diagnosis]:
    """Whether submissions can be built as the rules say; of a bundle that says it."""
    bundle = _bundle(layout)
    if bundle is None or bundle.evaluation.build_network or not layout.solution_csv("testing").exists():
        return []
    house = Path(os.environ.get("BUNDLE_WHEELHOUSE") or layout.wheelhouse)
    reason = out_of_date(INFERENCE, bundle, layout, house)
    mend = (
        "`evaluate` and `kit` download them where there is a package index; or carry .bundle/wheelhouse here"
    )
    found = f"of submissions: {reason or 'all there'}"
    return [Diagnosis("wheels", not reason, False, found, mend if reason else "")]


def _bundle(layout: Layout) -> Bundle | None:
    try:
        return read_manifest(layout.manifest)
    except ManifestError:
        # Every command says what is wrong with it.
        return None


def _gpu() -> Diagnosis:
    driver = shutil.which("nvidia-smi") is not None
    found = (
        "an NVIDIA driver" if driver else "none; training runs on the CPU, which is enough for small images"
    )
    return Diagnosis("GPU", driver, False, found)


def _disk(layout: Layout) -> Diagnosis:
    free_gb = shutil.disk_usage(layout.root).free / 1e9
    good = free_gb >= MINIMUM_FREE_GB
    mend = "" if good else f"free some: installing and building take up to {MINIMUM_FREE_GB:.0f} GB"
    return Diagnosis("free disk", good, False, f"{free_gb:.0f} GB", mend)


def _memory() -> Diagnosis:
    if not hasattr(os, "sysconf"):
        return Diagnosis("memory", True, False, f"{os.cpu_count()} processors; size not known on this system")
    total_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return Diagnosis("memory", total_gb >= 4, False, f"{total_gb:.0f} GB, {os.cpu_count()} processors")

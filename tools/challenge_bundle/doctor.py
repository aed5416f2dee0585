"""What this machine can run, and what is missing for the rest."""

import importlib.util
import os
import platform
import shutil
import sys
from contextlib import closing
from pathlib import Path

from challenge_bundle.errors import ManifestError, UnavailableError
from challenge_bundle.findings import ERROR, NOTE, WARNING, Finding
from challenge_bundle.installation import install_hint, package_hint
from challenge_bundle.layout import Layout
from challenge_bundle.runs.programs import INFERENCE
from challenge_bundle.settings import Bundle, read_manifest
from challenge_bundle.wheelhouse import base_of, out_of_date

MINIMUM_PYTHON = (3, 11)
MINIMUM_FREE_GB = 3.0
MINIMUM_MEMORY_GB = 4.0

_PACKAGES = {
    "data import": ("numpy", "PIL", "platformdirs", "requests"),
    "train": ("torch", "monai", "onnx", "tensorboard"),
    "infer": ("onnxruntime", "numpy", "PIL"),
    "score": ("numpy", "scipy", "jinja2"),
    "report": ("matplotlib", "PIL"),
}

_BY_PROGRAMS = ("train", "infer", "score")


def examine(layout: Layout) -> list[Finding]:
    """Look at Python, the packages of each command, the container engine, a GPU and the disk.

    Returns:
        One finding per subject, which is its location: a note where it is as it should be, a warning where
        something cannot be done without it, an error where nothing runs.
    """
    return [_python(), *_packages(), *_engine(layout), *_wheels(layout), _gpu(), _disk(layout), _memory()]


def can_run(findings: list[Finding]) -> bool:
    """Whether the whole bundle can be run here."""
    return all(finding.severity != ERROR for finding in findings)


def _python() -> Finding:
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info >= MINIMUM_PYTHON:
        return Finding("python", NOTE, "Python", found)
    hint = f"install Python {'.'.join(map(str, MINIMUM_PYTHON))} or newer"
    return Finding("python-too-old", ERROR, "Python", found, hint)


def _packages() -> list[Finding]:
    findings = []
    for command, names in _PACKAGES.items():
        subject = f"packages for `{command}`"
        missing = [name for name in names if importlib.util.find_spec(name) is None]
        if missing:
            hint = install_hint("programs") if command in _BY_PROGRAMS else package_hint(" ".join(missing))
            findings.append(
                Finding("packages-missing", ERROR, subject, f"missing: {', '.join(missing)}", hint)
            )
        else:
            findings.append(Finding("packages", NOTE, subject, "all installed"))
    return findings


def _engine(layout: Layout) -> list[Finding]:
    from challenge_bundle.engines.choice import FETCH_HINT, ISOLATED, START_HINT, connect_isolated

    try:
        engine = connect_isolated()
    except UnavailableError as fault:
        return [Finding("engine-unreachable", WARNING, ISOLATED, fault.finding.message, START_HINT)]
    with closing(engine):
        found = [Finding("engine", NOTE, ISOLATED, engine.description)]
        bundle = _bundle(layout)
        base = base_of(INFERENCE, bundle, layout) if bundle else ""
        if base and engine.inspect(base) is not None:
            found.append(Finding("base-image-present", NOTE, "base image", base))
        elif base:
            hint = FETCH_HINT.format(base=base)
            found.append(Finding("base-image-missing", WARNING, "base image", f"{base} is not here", hint))
    return found


def _wheels(layout: Layout) -> list[Finding]:
    """Whether submissions can be built without a network, in a bundle that evaluates them so."""
    bundle = _bundle(layout)
    if bundle is None or bundle.evaluation.build_network or not layout.solution_csv("testing").exists():
        return []
    house = Path(os.environ.get("BUNDLE_WHEELHOUSE") or layout.wheelhouse)
    reason = out_of_date(INFERENCE, bundle, layout, house)
    if not reason:
        return [Finding("wheels", NOTE, "wheels of submissions", "all here")]
    hint = (
        "run `evaluate` or `kit`, which download them where there is a package index, or copy"
        " .bundle/wheelhouse here"
    )
    return [Finding("wheels-out-of-date", WARNING, "wheels of submissions", reason, hint)]


def _bundle(layout: Layout) -> Bundle | None:
    try:
        return read_manifest(layout.manifest)
    except ManifestError:
        # Every command reports what is wrong with it.
        return None


def _gpu() -> Finding:
    if shutil.which("nvidia-smi") is not None:
        return Finding("gpu", NOTE, "GPU", "an NVIDIA driver")
    what = "none: training runs on the CPU, which is enough for small images"
    return Finding("gpu-missing", WARNING, "GPU", what)


def _disk(layout: Layout) -> Finding:
    free_gb = shutil.disk_usage(layout.root).free / 1e9
    if free_gb >= MINIMUM_FREE_GB:
        return Finding("disk-free", NOTE, "free disk", f"{free_gb:.0f} GB")
    what = f"{free_gb:.1f} GB, but installing and building take up to {MINIMUM_FREE_GB:.0f} GB"
    return Finding("disk-short-of-room", WARNING, "free disk", what, "free some")


def _memory() -> Finding:
    if not hasattr(os, "sysconf"):
        what = f"{os.cpu_count()} processors; the size is not known on this system"
        return Finding("memory-size", NOTE, "memory", what)
    total_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    what = f"{total_gb:.0f} GB, {os.cpu_count()} processors"
    if total_gb >= MINIMUM_MEMORY_GB:
        return Finding("memory-size", NOTE, "memory", what)
    return Finding("memory-short", WARNING, "memory", what, "train with smaller batches")

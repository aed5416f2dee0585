"""Run the workloads, each compared with its peer in the same run, and write the table: `make bench`."""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.measuring import MIN_REPEATS, Comparison, Run, compare
from benchmarks.workloads import ROOT, WORKLOADS, Setup, Unavailable, Workload

RESULTS = ROOT / "benchmarks" / "results.json"
TABLE = ROOT / "benchmarks" / "RESULTS.md"
MARK = "<!-- Below: written by `make bench`. -->\n"
PACKAGES = ("torch", "monai", "onnxruntime", "numpy", "pandas", "scikit-learn", "pyarrow", "pillow", "click")


def main(names: Sequence[str], repeats: int, images: Path | None) -> int:
    """Run workloads; the others keep the results that they had.

    Args:
        names: Of the workloads; empty runs all.
        repeats: Of each side.
        images: Real images in the bundle layout; None draws phantoms.

    Returns:
        Exit status: 0 done, 1 a workload failed.
    """
    source = f"folder:{images}" if images else "synthetic"
    results = read_results()
    failed = False
    with tempfile.TemporaryDirectory(prefix="benchmark-") as work:
        setup = Setup(Path(work), source)
        for workload in WORKLOADS:
            if names and workload.name not in names:
                continue
            print(f"{workload.name}: {workload.title}, compared with {workload.peer}", flush=True)
            try:
                ours, peer = workload.make(setup)
                log = Path(work) / f"{workload.name}.log"
                comparison = compare(ours, peer, repeats, lambda line: print(f"  {line}", flush=True), log)
            except Unavailable as fault:
                print(f"  left out: {fault}")
                continue
            except subprocess.CalledProcessError as fault:
                print(f"  failed: {fault}; the end of what it printed:\n{log.read_text()[-2000:]}")
                failed = True
                continue
            results[workload.name] = summarise(comparison, setup.notes.get(workload.name, []), source)
            print(f"  ratio {comparison.ratio:.3f} (goal {workload.goal:g})", flush=True)
            RESULTS.write_text(json.dumps(results, indent=2) + "\n")
            above = TABLE.read_text().partition(MARK)[0]
            TABLE.write_text(f"{above}{MARK}\n{make_table(results)}")
    print(make_table(results))
    return 1 if failed else 0


def read_results() -> dict[str, Any]:
    """The results of earlier runs, by workload; those of workloads that no longer exist are left out."""
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return {workload.name: found[workload.name] for workload in WORKLOADS if workload.name in found}


def summarise(comparison: Comparison, notes: Sequence[str], source: str) -> dict[str, Any]:
    """What is kept of a workload."""
    return {
        "ratio": comparison.ratio,
        "spread": comparison.spread,
        "units": comparison.units,
        "ours": [vars_of(run) for run in comparison.ours],
        "peer": [vars_of(run) for run in comparison.peer],
        "notes": list(notes),
        "images": "MedNIST" if source.startswith("folder:") else "phantoms",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
    }


def vars_of(run: Run) -> dict[str, float]:
    """A run as JSON."""
    return {"seconds": run.seconds, "cpu_s": run.cpu_s, "peak_bytes": run.peak_bytes}


def machine() -> str:
    """What the times were measured on, for a person."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(": ")[2] if lines else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return f"{model}, {cores} cores, {platform.system()}, Python {platform.python_version()}, {versions}"


def make_table(results: dict[str, Any]) -> str:
    """The table in Markdown, with what it was measured on below it."""
    lines = [
        "| workload | compared with | ours | peer | ratio | spread | goal | largest process, ours / peer |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [row(workload, results[workload.name]) for workload in WORKLOADS if workload.name in results]
    notes = [
        f"- {workload.title}: {note}."
        for workload in WORKLOADS
        for note in results.get(workload.name, {}).get("notes", [])
    ]
    machines = sorted(
        {f"{result['date']}, {result['images']}: {result['machine']}." for result in results.values()}
    )
    text = "\n".join([*lines, "", *notes, "", *machines])
    return f"{text}\n"


def row(workload: Workload, result: dict[str, Any]) -> str:
    """A row of the table."""
    seconds = [statistics.median(run["seconds"] for run in result[side]) for side in ("ours", "peer")]
    memory = [max(run["peak_bytes"] for run in result[side]) / 2**20 for side in ("ours", "peer")]
    met = "" if result["ratio"] <= workload.goal else " (not met)"
    low, high = result["spread"]
    return (
        f"| {workload.title} | {workload.peer} | {seconds[0]:.2f} s | {seconds[1]:.2f} s |"
        f" {result['ratio']:.3f} | {low:.3f} to {high:.3f} | {workload.goal:g}{met} |"
        f" {memory[0]:,.0f} / {memory[1]:,.0f} MB |"
    )


def repeats_of(text: str) -> int:
    """A number of repeats that a median can be taken of."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Time each workload compared with its peer.")
    parser.add_argument("names", nargs="*", choices=[[], *(w.name for w in WORKLOADS)], metavar="WORKLOAD")
    parser.add_argument("--repeats", type=repeats_of, default=MIN_REPEATS, help="of each side (default 5)")
    parser.add_argument("--images", type=Path, help="real images, a folder in the bundle layout")
    parsed = parser.parse_args()
    sys.exit(main(parsed.names, parsed.repeats, parsed.images))

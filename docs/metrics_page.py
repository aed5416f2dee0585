"""The page of metrics, from the scoring program's registry."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

# In a process of its own: the program's modules have names such as `tables`, which other programs use, too.
_LIST = """
import json
from metrics import DEFAULT_METRICS, REGISTRY
metrics = [
    {**{name: getattr(metric, name) for name in (
        "name", "title", "tasks", "policy", "source", "higher_is_better", "unit", "needs"
    )}, "low": str(metric.low), "high": str(metric.high)}
    for metric in REGISTRY.values()
]
print(json.dumps({"default": DEFAULT_METRICS, "metrics": metrics}))
"""
_INFINITE = {"inf": "∞", "-inf": "-∞"}


def metrics_page(project: Path, mark: str) -> str:
    """Every metric of each task: its definition, direction, range, policy and source.

    Args:
        project: The checkout, with `scoring_program/`.
        mark: What says that the page is made, with a place for the source's name.
    """
    listed = json.loads(
        subprocess.run(
            [sys.executable, "-c", _LIST],
            cwd=project / "scoring_program",
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    parts = [
        mark.format("scoring_program/metrics.py"),
        "# Metrics\n\n",
        "Every metric can rank: `evaluation.metric` in `bundle.toml` names it. A score is computed from"
        " weights of the cases, all of them 1; resampling draws other weights. For every metric a weight of 2"
        " counts as the case listed twice.\n\n"
        "A metric whose score is not defined is left out of `scores.json`; `details.undefined` has the"
        " reason. A class without positive or without negative cases has no AUROC: it is left out of the"
        " mean, and the reason stands under `auc of CLASS`. Where values of a regression are censored"
        " (`event` is 0), their error is not known, and only the metrics that need events are computed.\n",
    ]
    for task, default in listed["default"].items():
        metrics = [metric for metric in listed["metrics"] if task in metric["tasks"]]
        parts.append(f"\n## {task}\n\nDefault: `{default}`.\n\n")
        parts.append("| metric | definition | better | range | undefined or empty | source |\n")
        parts.append("|---|---|---|---|---|---|\n")
        parts.extend(_row(metric) for metric in metrics)
    return "".join(parts)


def _row(metric: dict[str, Any]) -> str:
    better = "higher" if metric["higher_is_better"] else "lower"
    low, high = (_INFINITE.get(bound) or f"{float(bound):g}" for bound in (metric["low"], metric["high"]))
    unit = {"": "", "value": " (unit of the values)"}.get(metric["unit"], f" {metric['unit']}")
    needs = f" Needs {metric['needs']}." if metric["needs"] else ""
    return (
        f"| `{metric['name']}` | {metric['title']}.{needs} | {better} | {low} to {high}{unit} |"
        f" {metric['policy']} | {metric['source']} |\n"
    )

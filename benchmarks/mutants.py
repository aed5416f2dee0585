"""Put small faults into the modules that guard the machine and the data, one at a time: do their tests fail?

    make mutants                                        # a sample of faults of every module: about an hour
    make mutants ARGS="steps receipts --sample 0"       # every fault of two modules

mutmut and cosmic-ray change operators and constants. The faults that matter most here are a removed fsync,
chmod, lock or clean-up, and a missing key in what a container may see: statements and entries have to be
taken out as well.
"""

import argparse
import ast
import contextlib
import csv
import itertools
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = Path(__file__).with_name("equivalent_faults.csv")
WANTED = 0.9
"""Share of the faults that must be noticed."""

TEST_TIME_S = 240
"""Tests that take longer have met a fault that hangs."""

TARGETS: dict[str, tuple[str, ...]] = {
    "scoring_program/cases.py": (
        "tests/programs/test_resampling_constants.py",
        "tests/programs/test_count_metrics.py",
        "tests/programs/test_uncertainty.py",
    ),
    "scoring_program/checking.py": ("tests/programs/test_predictions.py", "tests/programs/test_score.py"),
    "scoring_program/count_metrics.py": (
        "tests/programs/test_count_metrics.py",
        "tests/programs/test_metric_weights.py",
    ),
    "scoring_program/metric.py": (
        "tests/programs/test_metrics.py",
        "tests/programs/test_count_metrics.py",
    ),
    "scoring_program/metrics.py": (
        "tests/programs/test_metrics.py",
        "tests/programs/test_metric_weights.py",
    ),
    "scoring_program/rank_metrics.py": (
        "tests/programs/test_rank_metrics.py",
        "tests/programs/test_metric_weights.py",
    ),
    "scoring_program/regression_metrics.py": (
        "tests/programs/test_value_metrics.py",
        "tests/programs/test_metric_weights.py",
    ),
    "scoring_program/value_metrics.py": (
        "tests/programs/test_value_metrics.py",
        "tests/programs/test_metric_weights.py",
    ),
    "scoring_program/weighted_sums.py": (
        "tests/programs/test_count_metrics.py",
        "tests/programs/test_metric_weights.py",
    ),
    "scoring_program/resampling.py": (
        "tests/programs/test_resampling_constants.py",
        "tests/programs/test_resampling.py",
    ),
    "scoring_program/uncertainty.py": ("tests/programs/test_uncertainty.py",),
    "scoring_program/tasks.py": ("tests/programs/test_predictions.py", "tests/programs/test_score.py"),
    "scoring_program/tables.py": ("tests/programs/test_predictions.py", "tests/programs/test_score.py"),
    "scoring_program/predictions.py": ("tests/programs/test_predictions.py", "tests/programs/test_score.py"),
    "scoring_program/reference.py": ("tests/programs/test_predictions.py", "tests/programs/test_score.py"),
    "scoring_program/score.py": ("tests/programs/test_score.py",),
    "scoring_program/summary.py": ("tests/programs/test_score.py",),
    "tools/challenge_bundle/leaderboard/schemes.py": ("tests/unit/test_board_figures.py",),
    "tools/challenge_bundle/leaderboard/resolution.py": ("tests/unit/test_board_figures.py",),
    "tools/challenge_bundle/leaderboard/subgroups.py": ("tests/unit/test_board_figures.py",),
    "tools/challenge_bundle/leaderboard/significance.py": ("tests/unit/test_significance.py",),
    "tools/challenge_bundle/submission/unpack.py": ("tests/unit/test_unpack.py",),
    "tools/challenge_bundle/submission/check.py": ("tests/unit/test_check.py",),
    "tools/challenge_bundle/runs/collect.py": ("tests/unit/test_collect.py",),
    "tools/challenge_bundle/runs/curves.py": ("tests/unit/test_curves.py",),
    "tools/challenge_bundle/image_io.py": ("tests/unit/test_image_io.py",),
    "tools/challenge_bundle/dicom/decoding.py": ("tests/unit/test_dicom_faults.py",),
    "tools/challenge_bundle/dicom/display.py": (
        "tests/unit/test_dicom_display.py",
        "tests/unit/test_dicom_reading.py",
    ),
    "tools/challenge_bundle/dicom/elements.py": ("tests/unit/test_dicom_faults.py",),
    "tools/challenge_bundle/dicom/lookup.py": ("tests/unit/test_dicom_display.py",),
    "tools/challenge_bundle/submission/pack.py": ("tests/unit/test_pack.py",),
    "tools/challenge_bundle/runs/programs.py": ("tests/unit/test_programs.py",),
    "tools/challenge_bundle/runs/stage_record.py": ("tests/unit/test_stage_record.py",),
    "tools/challenge_bundle/formats/program_toml.py": ("tests/unit/test_program_toml.py",),
    "tools/challenge_bundle/files.py": ("tests/unit/test_files.py",),
    "tools/challenge_bundle/guarded.py": ("tests/unit/test_guarded.py",),
    "tools/challenge_bundle/evaluation/intake.py": ("tests/unit/test_intake.py",),
    "tools/challenge_bundle/evaluation/log_redaction.py": ("tests/unit/test_log_redaction.py",),
    "tools/challenge_bundle/evaluation/public_split.py": ("tests/unit/test_public_split.py",),
    "tools/challenge_bundle/evaluation/receipts.py": ("tests/unit/test_receipts.py",),
    "tools/challenge_bundle/evaluation/stored_scores.py": ("tests/unit/test_rescore.py",),
    "tools/challenge_bundle/leaderboard/ranking.py": ("tests/unit/test_ranking.py",),
    "tools/challenge_bundle/evaluation/rescore.py": ("tests/unit/test_rescore.py",),
    "tools/challenge_bundle/evaluation/signing.py": ("tests/unit/test_signing.py",),
    "tools/challenge_bundle/evaluation/context.py": (
        "tests/unit/test_rescore.py",
        "tests/unit/test_relabel.py",
    ),
    "tools/challenge_bundle/evaluation/step_cache.py": ("tests/unit/test_step_cache.py",),
    "tools/challenge_bundle/evaluation/teams.py": ("tests/unit/test_teams.py",),
    "tools/challenge_bundle/lookalikes.py": ("tests/unit/test_lookalikes.py",),
    "tools/challenge_bundle/formats/bounded_json.py": ("tests/unit/test_bounded_json.py",),
    "tools/challenge_bundle/formats/receipt.py": ("tests/unit/test_receipts.py",),
    "tools/challenge_bundle/evaluation/scoring.py": ("tests/unit/test_results.py",),
    "tools/challenge_bundle/evaluation/part_cutting.py": ("tests/unit/test_results.py",),
    "tools/challenge_bundle/formats/listed_findings.py": ("tests/unit/test_verdicts.py",),
    "tools/challenge_bundle/formats/submission_toml.py": ("tests/unit/test_submission_toml.py",),
    "tools/challenge_bundle/formats/build_recipe.py": (
        "tests/unit/test_dockerfile.py",
        "tests/unit/test_build_context.py",
    ),
    "tools/challenge_bundle/formats/dockerfile.py": (
        "tests/unit/test_dockerfile_variables.py",
        "tests/unit/test_dockerfile.py",
    ),
    "tools/challenge_bundle/formats/dockerignore.py": ("tests/unit/test_dockerignore.py",),
    "tools/challenge_bundle/formats/container_image_name.py": ("tests/unit/test_dockerfile.py",),
    "tools/challenge_bundle/formats/path_patterns.py": ("tests/unit/test_dockerignore.py",),
    "tools/challenge_bundle/formats/dockerfile_variables.py": (
        "tests/unit/test_dockerfile_variables.py",
        "tests/unit/test_dockerfile.py",
    ),
    "tools/challenge_bundle/submission/recipe_checks.py": ("tests/unit/test_build_context.py",),
    "tools/challenge_bundle/engines/docker/base_images.py": ("tests/unit/test_build_context.py",),
    "tools/challenge_bundle/engines/build_context.py": ("tests/unit/test_build_context.py",),
    "tools/challenge_bundle/engines/docker/images.py": (
        "tests/unit/test_build_context.py",
        "tests/unit/test_docker_runner.py",
    ),
    "tools/challenge_bundle/formats/model_json.py": ("tests/unit/test_model_json.py",),
    "tools/challenge_bundle/formats/weights.py": ("tests/unit/test_weights.py",),
    "tools/challenge_bundle/engines/docker/container.py": ("tests/unit/test_docker_runner.py",),
    "tools/challenge_bundle/engines/docker/watchdog_process.py": ("tests/unit/test_watchdog.py",),
    "tools/challenge_bundle/engines/docker/watchdog.py": ("tests/unit/test_watchdog.py",),
    "tools/challenge_bundle/engines/docker/cleanup.py": ("tests/unit/test_cleanup.py",),
    "tools/challenge_bundle/engines/docker/submission_build.py": ("tests/unit/test_submission_build.py",),
    "tools/challenge_bundle/dataset/split_assignment.py": ("tests/unit/test_split_assignment.py",),
    "tools/challenge_bundle/dataset/invalidate.py": ("tests/unit/test_invalidate.py",),
    "tools/challenge_bundle/dataset/publish.py": (
        "tests/unit/test_publish.py",
        "tests/unit/test_invalidate.py",
    ),
    "tools/challenge_bundle/dataset/relabel.py": ("tests/unit/test_relabel.py",),
    "tools/challenge_bundle/dataset/stratify.py": ("tests/unit/test_stratify.py",),
    "tools/challenge_bundle/submission/zip_names.py": ("tests/unit/test_zip_names.py",),
    "tools/challenge_bundle/submission/zip_records.py": ("tests/unit/test_zip_records.py",),
}
"""Each module, and the tests that guard it; a test file that is not there is left out."""

_COMPARED = {
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "==": "!=",
    "!=": "==",
    "not in": "in",
    "in": "not in",
    "is not": "is",
    "is": "is not",
}
_CALCULATED = {"+": "-", "-": "+", "*": "/", "//": "*", "/": "*", "%": "*", "|": "&", "&": "|"}
_OPPOSITES = {"min": "max", "max": "min", "any": "all", "all": "any"}
_FORM = ("encoding", "indent", "strict")
"""Arguments that change nothing where UTF-8 is the rule, or only the form."""

_NO_CONTEXT = "__import__('contextlib').nullcontext()"


@dataclass(frozen=True, slots=True)
class Fault:
    """A change of a module's text.

    Args:
        start: First byte that is replaced.
        end: The byte after the last.
        text: What stands there instead.
        line: From 1.
        what: The line as it was, and the change.
    """

    start: int
    end: int
    text: str
    line: int
    what: str


class FaultFinder(ast.NodeVisitor):
    """Lists the faults that one module can be given.

    Args:
        source: The module's text.
    """

    def __init__(self, source: str) -> None:
        self.source = source.encode()
        self.lines = self.source.splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        self.faults: list[Fault] = []
        self.visit(ast.parse(source))

    def _offset(self, line: int, column: int) -> int:
        return self.starts[line - 1] + column

    def _span(self, node: ast.AST) -> tuple[int, int]:
        assert isinstance(node, ast.expr | ast.stmt | ast.keyword)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self._offset(node.lineno, node.col_offset),
            self._offset(node.end_lineno, node.end_col_offset),
        )

    def _add(self, start: int, end: int, text: str) -> None:
        line = self.source.count(b"\n", 0, start) + 1
        was = " ".join(self.source[start:end].decode().split())
        shown = self.lines[line - 1].decode().strip()
        self.faults.append(Fault(start, end, text, line, f"{shown}  [{was[:60]} -> {text or 'nothing'}]"))

    def _replace(self, node: ast.AST, text: str) -> None:
        self._add(*self._span(node), text)

    def _between(self, left: ast.AST, right: ast.AST, changes: dict[str, str]) -> None:
        """Change the operator that stands between two operands."""
        start, end = self._span(left)[1], self._span(right)[0]
        between = self.source[start:end].decode()
        for operator, other in sorted(changes.items(), key=lambda item: -len(item[0])):
            if found := re.search(r"(?<![\w<>=!*/])" + re.escape(operator) + r"(?![\w<>=!*/])", between):
                self._add(start + found.start(), start + found.end(), other)
                return

    def _exchange(self, one: ast.AST, other: ast.AST) -> None:
        """Put two expressions that follow each other into the other order."""
        (start, middle_start), (middle_end, end) = self._span(one), self._span(other)
        middle = self.source[middle_start:middle_end]
        exchanged = self.source[middle_end:end] + middle + self.source[start:middle_start]
        self._add(start, end, exchanged.decode())

    def _drop_groups(self, node: ast.Name | ast.Attribute) -> None:
        """Let each case be its own group."""
        if (node.attr if isinstance(node, ast.Attribute) else node.id) == "groups":
            self._replace(node, f"__import__('numpy').arange(len({ast.unparse(node)}))")

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Messages are left alone."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Types are left alone."""
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Visit defaults and body, not the types and decorators."""
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        for statement in node.body:
            self.visit(statement)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Visit the body alone."""
        for statement in node.body:
            self.visit(statement)

    def visit_If(self, node: ast.If) -> None:
        """A condition that always, or never, holds."""
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        self._replace(node.test, "True")
        self._replace(node.test, "False")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """As an if statement."""
        self._replace(node.test, "True")
        self._replace(node.test, "False")
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """A filter that lets everything through."""
        for test in node.ifs:
            self._replace(test, "True")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        """The edge moved, or the opposite."""
        operands = [node.left, *node.comparators]
        for left, right in itertools.pairwise(operands):
            self._between(left, right, _COMPARED)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """`and` for `or`."""
        for left, right in itertools.pairwise(node.values):
            self._between(left, right, {"and": "or", "or": "and"})
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """A `not` taken out."""
        if isinstance(node.op, ast.Not):
            start, end = self._span(node)[0], self._span(node.operand)[0]
            self._add(start, end, self.source[start:end].decode().replace("not", "", 1).lstrip())
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Another operation; 10**6 for 2**20."""
        if ast.unparse(node) in ("2 ** 20", "1 << 20"):
            self._replace(node, "10**6")
            return
        if not isinstance(node.left, ast.JoinedStr | ast.List | ast.Tuple):
            self._between(node.left, node.right, _CALCULATED)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """A number next to the right one; the other truth value."""
        if isinstance(node.value, bool):
            self._replace(node, str(not node.value))
        elif isinstance(node.value, int):
            self._replace(node, str(node.value + 1))
            if node.value >= 10:
                self._replace(node, str(_smaller(node.value)))
        elif isinstance(node.value, float):
            self._replace(node, str(node.value * 10 or 1.0))
            if 0.05 < node.value < 1.0:
                self._replace(node, f"{node.value - 0.05:.6g}")

    def visit_Expr(self, node: ast.Expr) -> None:
        """A call that is left out: no fsync, no chmod, no clean-up."""
        if isinstance(node.value, ast.Call):
            self._replace(node, "pass")
            self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        """A fault that is passed over; its words are left alone."""
        if node.exc is not None:
            self._replace(node, "pass")

    def visit_Return(self, node: ast.Return) -> None:
        """An early end that does not come; two results exchanged."""
        if node.col_offset > 4:
            self._replace(node, "pass")
        if isinstance(node.value, ast.Tuple) and len(node.value.elts) >= 2:
            self._exchange(node.value.elts[0], node.value.elts[1])
        self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        """A loop that goes through."""
        self._replace(node, "pass")

    def visit_Break(self, node: ast.Break) -> None:
        """A loop that goes on."""
        self._replace(node, "pass")

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """A count that is not kept."""
        self._replace(node, "pass")
        self.generic_visit(node)

    def visit_With(self, node: ast.With) -> None:
        """A lock that is not taken."""
        for item in node.items:
            if item.optional_vars is None:
                self._replace(item.context_expr, _NO_CONTEXT)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """An argument left out, two exchanged, patients forgotten, `max` for `min`."""
        for keyword in node.keywords:
            if keyword.arg not in (None, *_FORM):
                self._replace(keyword, "**{}")
        plain = [argument for argument in node.args if isinstance(argument, ast.Name | ast.Attribute)]
        if len(plain) >= 2 and plain[:2] == node.args[:2]:
            self._exchange(*plain[:2])
        if isinstance(node.func, ast.Name) and node.func.id in _OPPOSITES:
            self._replace(node.func, _OPPOSITES[node.func.id])
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            if isinstance(argument, ast.Name | ast.Attribute) and ast.unparse(node.func) != "len":
                self._drop_groups(argument)
        for child in (node.func, *node.args, *(key.value for key in node.keywords if key.arg not in _FORM)):
            self.visit(child)

    def visit_Dict(self, node: ast.Dict) -> None:
        """An entry left out."""
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None:
                self._add(self._span(key)[0], self._span(value)[1], "**{}")
        self.generic_visit(node)


def _smaller(value: int) -> int:
    """A count that looks as plausible: 10 bins for 15, 200 resamples for 2,000."""
    return value // 10 if value >= 100 else value * 2 // 3


def find_faults(source: str) -> list[Fault]:
    """List the faults that a module can be given: each still compiles, and is another program."""
    plain = ast.dump(ast.parse(source))
    found: list[Fault] = []
    for fault in FaultFinder(source).faults:
        try:
            if ast.dump(ast.parse(apply(source, fault))) != plain:
                found.append(fault)
        except SyntaxError:
            continue
    return found


def apply(source: str, fault: Fault) -> str:
    """The module's text with a fault in it."""
    data = source.encode()
    return (data[: fault.start] + fault.text.encode() + data[fault.end :]).decode()


def read_equivalent() -> set[tuple[str, str]]:
    """Faults that change nothing a test could see, as (module, what); the file gives the reason of each."""
    if not EQUIVALENT.exists():
        return set()
    with EQUIVALENT.open(encoding="utf-8", newline="") as opened:
        return {(row["module"], row["fault"]) for row in csv.DictReader(opened)}


def copy_checkout(target: Path) -> Path:
    """Copy the tracked files and those that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    return target


def tests_fail(checkout: Path, tests: tuple[str, ...]) -> bool:
    """Run a module's tests in a copy; True if one fails or none of them ends."""
    there = [test for test in tests if (checkout / test).exists()]
    # Its own folder: some faults leave what pytest cannot remove, such as folders thousands deep.
    temporary = checkout / ".tests"
    options = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={temporary}"]
    process = subprocess.Popen(
        [sys.executable, "-B", "-m", "pytest", *options, *there],
        cwd=checkout,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        start_new_session=True,
    )
    try:
        return process.wait(timeout=TEST_TIME_S) != 0
    except subprocess.TimeoutExpired:
        return True
    finally:
        # Some faults leave processes behind.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        subprocess.run(["rm", "-rf", str(temporary)], check=False, stderr=subprocess.DEVNULL)


def survivors(module: str, faults: list[Fault], checkouts: "queue.Queue[Path]", jobs: int) -> Iterator[Fault]:
    """Give the faults of a module that its tests do not notice."""
    source = (ROOT / module).read_text(encoding="utf-8")

    def is_noticed(fault: Fault) -> bool:
        checkout = checkouts.get()
        try:
            (checkout / module).write_text(apply(source, fault), encoding="utf-8")
            return tests_fail(checkout, TARGETS[module])
        finally:
            (checkout / module).write_text(source, encoding="utf-8")
            checkouts.put(checkout)

    with ThreadPoolExecutor(jobs) as pool:
        for fault, noticed in zip(faults, pool.map(is_noticed, faults), strict=True):
            if not noticed:
                yield fault


def main() -> int:
    """Try the faults, print what survived and a table; status 1 if too few were noticed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="*", help="parts of modules' paths; all by default")
    parser.add_argument("--sample", type=int, default=40, help="faults of each module; 0 takes all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="tests run at a time")
    options = parser.parse_args()
    chosen = [
        module for module in TARGETS if not options.modules or any(part in module for part in options.modules)
    ]
    equivalent = read_equivalent()
    rows: list[tuple[str, int, int]] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        checkouts: queue.Queue[Path] = queue.Queue()
        for number in range(options.jobs):
            checkouts.put(copy_checkout(Path(folder) / str(number)))
        for module in chosen:
            first = checkouts.get()
            checkouts.put(first)
            if tests_fail(first, TARGETS[module]):
                print(f"{module}: its tests fail without any fault", file=sys.stderr)
                return 2
            found = find_faults((ROOT / module).read_text(encoding="utf-8"))
            faults = [fault for fault in found if (module, fault.what) not in equivalent]
            if options.sample and len(faults) > options.sample:
                faults = sorted(
                    random.Random(options.seed).sample(faults, options.sample), key=lambda fault: fault.start
                )
            left = 0
            for fault in survivors(module, faults, checkouts, options.jobs):
                left += 1
                print(f"survived  {module}:{fault.line}: {fault.what}", flush=True)
            rows.append((module, len(faults), len(faults) - left))
            print(f"{module}: {len(faults) - left} of {len(faults)} noticed", flush=True)
    tried, noticed = sum(row[1] for row in rows), sum(row[2] for row in rows)
    print("\n| module | faults | noticed |\n|---|---|---|")
    for module, count, seen in rows:
        print(f"| {module} | {count} | {seen} ({seen / max(count, 1):.0%}) |")
    print(f"| all | {tried} | {noticed} ({noticed / max(tried, 1):.0%}) |")
    return 0 if noticed >= WANTED * tried else 1


if __name__ == "__main__":
    sys.exit(main())

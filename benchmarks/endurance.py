"""Many submissions, evaluated with the tool killed at random moments, and once undisturbed: the same board?

    make endure ARGS="--submissions 500 --kills 20"

Needs a Docker Engine and the base image of the programs. Submissions are of several kinds: good ones that
replay predictions, duplicates of them, and some that fail or attack in various ways.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOL = [sys.executable, str(ROOT / "tools" / "bundle.py"), "--bundle"]
FIRST_TIME = 1_767_225_600
"""When the first submission was received: 2026-01-01, 00:00 UTC."""

MANIFEST = """\
[bundle]
name = "endurance"

[data]
source = "synthetic"
sample_size = {size}

[inference]
time_s = 5
memory_mb = 256
cpus = 1
pids = 32
output_mb = 8

[evaluation]
public_share = 0.5

[[phases]]
name = "development"
part = "public"
submissions_per_day = 40
"""

DOCKERFILE = """\
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}
COPY bundle_inference /opt/bundle_inference
USER 65534:65534
ENTRYPOINT ["python3", "-B", "/opt/bundle_inference/infer.py"]
"""

REPLAY = """\
import shutil

shutil.copyfile("/opt/bundle_inference/predictions.csv", "/mnt/out/classification_results.csv")
"""

FAULTY_CODE = {
    "crash": "raise ValueError('no image is good enough')",
    "silent": "pass",
    "endless": "while True: pass",
    "hog": "hoard = [bytes(range(256)) * 4096 * n for n in range(10**6)]",
    "forks": "import os, time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.1)",
    "link": "import os; os.symlink('/etc/passwd', '/mnt/out/classification_results.csv')",
    "leak": "import os; print(os.listdir('/mnt/in')); raise RuntimeError(' '.join(os.listdir('/mnt/in')))",
}

FAULTY_ZIPS = ("no dockerfile", "no zip", "build fails", "half csv", "unknown class", "no team")


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is done, and where.

    Args:
        work: An empty folder for all of it.
        submissions: How many zips.
        kills: How often the tool is killed.
        size: Images of each class in each split.
        seed: Of the submissions and of the moments.
        workers: At a time; 0 is as many as fit.
        only_good: Whether none is faulty, as to measure what a good one costs.
    """

    work: Path
    submissions: int
    kills: int
    size: int
    seed: int
    workers: int = 0
    only_good: bool = False


def main(experiment: Experiment) -> int:
    """Run the experiment.

    Returns:
        Exit status: 0 if every submission has one final record and the boards are the same, else 1.
    """
    calm, killed = (new_bundle(experiment, name) for name in ("calm", "killed"))
    shutil.rmtree(killed)
    shutil.copytree(calm, killed)
    zips = experiment.work / "zips"
    make_submissions(experiment, calm, zips)
    print(f"{experiment.submissions} submissions: {count_kinds(zips)}", flush=True)
    seconds = evaluate(calm, zips, experiment.workers)
    print(f"undisturbed: {seconds:.0f} s", flush=True)
    # The board names the public key: one pair for both, or no two boards would ever be alike.
    shutil.copytree(calm / ".bundle" / "keys", killed / ".bundle" / "keys")
    if experiment.workers == 1 and experiment.only_good:
        report_overhead(calm, seconds)
    moments = random.Random(experiment.seed)
    kills = 0
    started = time.monotonic()
    while kills < experiment.kills:
        # So short that all kills fall into the work, even on a machine that has become quicker meanwhile.
        if not killed_after(killed, zips, moments.uniform(0.1, seconds / experiment.kills)):
            break
        kills += 1
    evaluate(killed, zips, experiment.workers)
    disturbed = time.monotonic() - started
    print(f"killed {kills} times: {disturbed:.0f} s", flush=True)
    good = [
        check(f"every submission has one final record ({label})", has_ended(bundle, zips))
        for label, bundle in (("undisturbed", calm), ("killed", killed))
    ]
    boards = {bundle: board(bundle) for bundle in (calm, killed)}
    good.append(check("as many kills as were asked for", kills == experiment.kills))
    good.append(check("the boards are the same bytes", boards[calm] == boards[killed]))
    good.append(check("the records are the same", records(calm) == records(killed)))
    good.append(check("no container is left", not containers(calm) + containers(killed)))
    print(f"states: {dict(Counter(row[1] for row in records(killed)))}")
    return 0 if all(good) else 1


def equal_submissions(experiment: Experiment, rounds: int) -> int:
    """Evaluate submissions of the same files under other methods, all at once, again and again.

    Returns:
        Exit status: 0 if each was scored at its first attempt, and the engine holds no more than before.
    """
    bundle = new_bundle(experiment, "calm")
    zips = experiment.work / "zips"
    zips.mkdir()
    reference_csv = bundle / "submission_directory" / "input" / "ref" / "testing_solution.csv"
    with reference_csv.open(newline="") as opened:
        rows = [(Path(row["file"]).name, row["class"]) for row in csv.DictReader(opened)]
    for number in range(experiment.submissions):
        path = zips / f"team {number % 4}__method {number:03d}.zip"
        write_zip(path, "good", rows, 0)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("submission.toml", f'method = "method {number:03d}"\n')
        os.utime(path, (FIRST_TIME + 60 * number,) * 2)
    good = []
    for number in range(rounds):
        before = images()
        seconds = evaluate(bundle, zips, experiment.workers)
        with sqlite3.connect(bundle / ".bundle" / "evaluation" / "records.sqlite") as connection:
            states = Counter(connection.execute("select state, attempts from submission").fetchall())
        left = images() - before
        print(f"round {number + 1}: {seconds:.0f} s, {dict(states)}, {len(left)} images more", flush=True)
        good.append(check("each was scored at once", states == {("scored", 0): experiment.submissions}))
        # The first round makes the images of the bundle's own programs.
        good.append(check("the engine holds no more than before", not left or number == 0))
        shutil.rmtree(bundle / ".bundle" / "evaluation")
    good.append(check("no container is left", not containers(bundle)))
    return 0 if all(good) else 1


def images() -> set[str]:
    """All images on the engine, intermediate ones among them."""
    listed = ["docker", "images", "--all", "--quiet", "--no-trunc"]
    return set(subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split())


def new_bundle(experiment: Experiment, name: str) -> Path:
    """A bundle with drawn images."""
    bundle = experiment.work / name
    bundle.mkdir(parents=True)
    (bundle / "bundle.toml").write_text(MANIFEST.format(size=experiment.size))
    if name == "calm":
        subprocess.run([*TOOL, str(bundle), "data", "import"], check=True, stdout=subprocess.DEVNULL)
    return bundle


def make_submissions(experiment: Experiment, bundle: Path, folder: Path) -> None:
    """Write the zips; their file's time is the time at which they were received."""
    folder.mkdir()
    chance = random.Random(experiment.seed)
    reference_csv = bundle / "submission_directory" / "input" / "ref" / "testing_solution.csv"
    with reference_csv.open(newline="") as opened:
        reference = [(Path(row["file"]).name, row["class"]) for row in csv.DictReader(opened)]
    classes = sorted({class_name for _, class_name in reference})
    kinds = [*FAULTY_CODE, *FAULTY_ZIPS]
    written: list[Path] = []
    for number in range(experiment.submissions):
        team = f"team {chance.randrange(max(2, experiment.submissions // 8)):03d}"
        path = folder / f"{team}__method {number:04d}.zip"
        kind = kinds[number // 2 % len(kinds)] if number % 2 and not experiment.only_good else "good"
        if number % 10 == 9 and written:
            # Somebody sends another's zip as it is.
            shutil.copyfile(chance.choice(written), path)
        else:
            skill = chance.uniform(0.5, 0.99)
            rows = [
                (name, true if chance.random() < skill else chance.choice(classes))
                for name, true in reference
            ]
            if kind == "no team":
                path = folder / f"{number:04d}.zip"
            write_zip(path, kind, rows, number)
            written += [path] if kind == "good" else []
        os.utime(path, (FIRST_TIME + 60 * number,) * 2)


def write_zip(path: Path, kind: str, rows: list[tuple[str, str]], number: int) -> None:
    """Write one submission of a kind."""
    if kind == "no zip":
        path.write_bytes(b"this is no zip" + bytes([number % 256]))
        return
    if kind == "half csv":
        rows = rows[: len(rows) // 2]
    if kind == "unknown class":
        rows[-1] = (rows[-1][0], "Elbow")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("file", "class"), *rows])
    with zipfile.ZipFile(path, "w") as archive:
        if kind != "no dockerfile":
            step = "RUN echo building && false\n" if kind == "build fails" else ""
            archive.writestr("Dockerfile", DOCKERFILE.replace("USER", f"{step}USER", 1))
        archive.writestr("bundle_inference/infer.py", FAULTY_CODE.get(kind, REPLAY) + f"\n# {number}\n")
        archive.writestr("bundle_inference/predictions.csv", text.getvalue())


def count_kinds(folder: Path) -> str:
    """How many different zips there are."""
    contents = {path.read_bytes() for path in folder.iterdir()}
    return f"{len(contents)} different, {sum(1 for _ in folder.iterdir()) - len(contents)} duplicates"


def evaluate(bundle: Path, zips: Path, workers: int) -> float:
    """Evaluate to the end; gives the seconds."""
    command = [*TOOL, str(bundle), "evaluate", str(zips), "--workers", str(workers)]
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def killed_after(bundle: Path, zips: Path, seconds: float) -> bool:
    """Evaluate, and kill the tool after some time; returns whether it was still at work."""
    process = subprocess.Popen([*TOOL, str(bundle), "evaluate", str(zips)], stdout=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


def records(bundle: Path) -> list[tuple[str, ...]]:
    """What the database holds of each submission, without what depends on time."""
    with sqlite3.connect(bundle / ".bundle" / "evaluation" / "records.sqlite") as connection:
        return connection.execute(
            "select sha256, state, team, method, received, phase, verdict, results_sha256 from submission"
            " order by sha256"
        ).fetchall()


def has_ended(bundle: Path, zips: Path) -> bool:
    """Tell whether each different zip has one record, and that is final."""
    different = {path.read_bytes() for path in zips.iterdir()}
    rows = records(bundle)
    return len(rows) == len(different) and all(row[1] in ("scored", "refused") for row in rows)


def board(bundle: Path) -> dict[str, bytes]:
    """The files of the board."""
    subprocess.run([*TOOL, str(bundle), "leaderboard"], check=True, stdout=subprocess.DEVNULL)
    return {
        path.name: path.read_bytes()
        for path in (bundle / "leaderboard" / "development-public" / "publish").iterdir()
    }


def containers(bundle: Path) -> list[str]:
    """Containers of a bundle that are left."""
    owner = hashlib.sha256(str(bundle.resolve()).encode()).hexdigest()[:16]
    listed = ["docker", "ps", "-aq", "--filter", f"label=challenge-bundle.owner={owner}"]
    return subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()


def report_overhead(bundle: Path, seconds: float) -> None:
    """Say how much of the time was neither a build nor a container running (one worker, all good)."""
    evaluation = bundle / ".bundle" / "evaluation"
    with sqlite3.connect(evaluation / "records.sqlite") as connection:
        (building,) = connection.execute("select sum(seconds) from step where name = 'build'").fetchone()
        (count,) = connection.execute("select count(*) from submission").fetchone()
    running = sum(
        json.loads(path.read_text())["facts"].get("seconds", 0.0)
        for path in (evaluation / "steps").glob("*/*/record.json")
    )
    rest = seconds - building - running
    print(
        f"building {building:.1f} s, containers {running:.1f} s, all else {rest:.1f} s:"
        f" {rest / count:.3f} s a submission",
        flush=True,
    )


def check(what: str, good: bool) -> bool:
    """Print one finding."""
    print(f"{'good' if good else 'BAD '} {what}", flush=True)
    return good


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--submissions", type=int, default=500)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--size", type=int, default=20, help="images of each class in each split")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="at a time; 0 is as many as fit")
    parser.add_argument(
        "--equal",
        type=int,
        metavar="ROUNDS",
        default=0,
        help="all of the same files, so often; no kills",
    )
    parser.add_argument(
        "--only-good", action="store_true", help="none faulty; gives the overhead of one worker"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    parsed = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="endurance-") as work:
        experiment = Experiment(
            Path(work),
            parsed.submissions,
            parsed.kills,
            parsed.size,
            parsed.seed,
            parsed.workers,
            parsed.only_good,
        )
        sys.exit(equal_submissions(experiment, parsed.equal) if parsed.equal else main(experiment))

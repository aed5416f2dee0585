"""Attacks for real: each runs in a container as a submission would, and must end well for everyone else."""

import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from challenge_bundle.engines.base import BuildLimits, BuildSpec
from challenge_bundle.engines.docker.cleanup import BUILD_LABEL
from challenge_bundle.engines.docker.container import OWNER_LABEL
from challenge_bundle.engines.docker.engine import DockerEngine
from challenge_bundle.engines.local import LocalEngine
from challenge_bundle.errors import BundleError
from challenge_bundle.layout import Layout
from challenge_bundle.runs.programs import INFERENCE, SCORING, plan_run, run_program
from challenge_bundle.settings import read_manifest
from tests.conftest import BASE_IMAGE, write_image

HOSTILE = Path(__file__).parent / "hostile"
IMAGES = 20
TIME_S = 12
HANG_S = 120
"""What no limit ends runs for longer, and the test fails by this timeout."""

MANIFEST = f"""\
[bundle]
name = "hostile"

[inference]
time_s = {TIME_S}
memory_mb = 256
cpus = 1
pids = 64
output_mb = 16
"""


@dataclass(frozen=True)
class Attack:
    """An attack and how it must end.

    Args:
        name: Of the function in hostile/infer.py.
        verdict: What the message must match; empty if the program must end well, all its attempts in vain.
        arguments: Options, given the place of the reference and the listener's port.
    """

    name: str
    verdict: str = ""
    arguments: Callable[[Path, int], tuple[str, ...]] = lambda reference, port: ()


def the_reference(reference: Path, port: int) -> tuple[str, ...]:
    return (str(reference),)


TIME = "ended at its time limit of 12 s"
OUTPUT = "ended at its output limit of 16 MB"
NO_FILE = "did not write classification_results.csv"
NO_PLAIN_FILE = "expected a plain file as .*, but got something else"
LINK = "expected a plain file as .*, but got a link or a socket"

ATTACKS = [
    Attack("fork_bomb", TIME),
    Attack("memory_hog", "ended at its memory limit of 256 MB"),
    Attack("disk_filler", OUTPUT),
    Attack("deleted_disk_filler", "ended because the disk ran short"),
    Attack("many_files", OUTPUT),
    Attack("deep_folders", f"{OUTPUT}|^$"),
    Attack("hidden_filler", OUTPUT),
    Attack("closed_folder", f"{OUTPUT}|^$"),
    Attack("tmp_filler", "ended at its memory limit|No space left on device"),
    Attack("shared_memory_filler", "ended at its memory limit|No space left on device"),
    Attack("endless_loop", TIME),
    Attack("deaf_to_sigterm", TIME),
    Attack("orphan"),
    Attack("network", r"ConnectionRefusedError", lambda reference, port: (str(port),)),
    Attack("neighbours", "", the_reference),
    Attack("environment"),
    Attack("engine_socket"),
    Attack("write_root"),
    Attack("write_input"),
    Attack("link_out", LINK),
    Attack("link_to_reference", LINK, the_reference),
    Attack("hard_link", "failed .*OSError"),
    Attack("linked_folder", LINK),
    Attack("fifo", NO_PLAIN_FILE),
    Attack("device", "failed .*PermissionError"),
    Attack("folder", NO_PLAIN_FILE),
    Attack("socket_file", LINK),
    Attack("sparse", "failed .*File too large"),
    Attack("sparse_by_signal", "ended by SIGXFSZ"),
    Attack("long_log", f"{TIME}|^$"),
    Attack("control_characters", r"failed \(exit status 1\); its last line: [^\x00-\x1f\x7f-\x9f\u202e]*$"),
    Attack("forged_limit", r"failed \(exit status 1\); its last line: Error: the Docker Engine went away"),
    Attack("no_output", NO_FILE),
    Attack("half_csv", "scoring failed .*classification_results.csv"),
    Attack("half_csv_and_failure", r"inference failed \(exit status 1\)"),
    Attack("zombies", "no more processes"),
    Attack("setuid"),
    Attack("mount"),
]


_FORGED = "for n in $(seq 1500); do printf ' ---> Running in %012x\\n' $n; done"
_LARGE = "RUN head -c 200m /dev/urandom > /large\n"

BUILD_ATTACKS = {
    "build_fork_bomb_with_forged_lines": (
        f"RUN {_FORGED}; for n in $(seq 700); do sleep 2 & done; wait\n",
        r"returned a non-zero code: 2",
    ),
    "build_that_fails_and_leaves_a_layer": (f"{_LARGE}RUN false\n", "returned a non-zero code: 1"),
    "build_with_endless_output": ("RUN yes\n", "^time$"),
    "build_deaf_to_signals": ("RUN trap '' TERM INT HUP; while true; do sleep 1; done\n", "^time$"),
    "build_of_many_short_steps": ("RUN sleep 3\n" * 4, "^time$"),
    "build_with_a_chain_of_copies": (
        f"{_LARGE}FROM {BASE_IMAGE} AS b\nCOPY --from=a /large /1\n"
        f"FROM {BASE_IMAGE}\nCOPY --from=b /1 /2\nCOPY --from=a /large /3\n",
        "^(size|time)$",
    ),
    "build_that_fills_the_memory": (
        'RUN python3 -c "print(len(bytearray(600 << 20)))"\n',
        "returned a non-zero code: (1|137)",
    ),
    "build_that_takes_our_label_off": (
        f"LABEL {BUILD_LABEL}=other\n{_LARGE}RUN false\n",
        "returned a non-zero code: 1",
    ),
    "build_that_says_the_engine_is_at_fault": (
        "RUN echo 'no space left on device; pull access denied'; false # no space left on device\n",
        "returned a non-zero code: 1",
    ),
}


@pytest.mark.timeout(HANG_S)
@pytest.mark.parametrize("attack", BUILD_ATTACKS)
def test_build_attack(
    attack: str, engine: DockerEngine, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    steps, verdict = BUILD_ATTACKS[attack]
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(f"FROM {BASE_IMAGE} AS a\n{steps}")
    files, limits = {"Dockerfile": dockerfile}, BuildLimits(time_s=8, memory_mb=256, image_mb=300)
    plan = BuildSpec("hostile-build", "bundle_inference", files, owner="hostile", key="k", limits=limits)
    lines: list[str] = []
    started = time.monotonic()
    outcome = engine.build(plan, lines.append)
    seconds = time.monotonic() - started
    message = outcome.limit or outcome.error
    record_property("verdict", "refused" if message else "built")
    record_property("message", message)
    record_property("seconds", seconds)
    assert re.search(verdict, message), message
    assert not outcome.image
    assert max(map(len, lines)) <= 300
    of_this_test = {"label": f"{OWNER_LABEL}=hostile"}
    assert engine.client.api.images(all=True, filters=of_this_test) == []
    assert engine.client.containers.list(all=True, filters=of_this_test) == []


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A bundle whose inference program is the attacker's."""
    layout = Layout(tmp_path_factory.mktemp("hostile"))
    layout.manifest.write_text(MANIFEST)
    shutil.copytree(HOSTILE, layout.root / "bundle_inference")
    layout.model_output.mkdir()
    for name in ("best_metric_model.onnx", "model.json"):
        (layout.model_output / name).touch()
    rows = []
    for number in range(IMAGES):
        image = write_image(layout.testing_data / f"{number:06}.png", seed=number)
        rows.append(f"{image.name},{'AB'[number % 2]}\n")
    layout.solution_csv("testing").parent.mkdir(parents=True)
    layout.solution_csv("testing").write_text("file,class\n" + "".join(rows))
    layout.solution_csv("testing").chmod(0o644)
    return layout


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[int, list[str]]]:
    """A port on this host's loopback, and what reached it."""
    reached: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                reached.append("connected")
                connection.close()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], reached
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.timeout(HANG_S)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(
    attack: Attack,
    bundle: Layout,
    engine: DockerEngine,
    listener: tuple[int, list[str]],
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET", "CANARY")
    free_bytes = shutil.disk_usage(bundle.root).free
    # A deleted file's space is seen only in what is left on the disk, so the reserve is set just below that.
    reserve_bytes = free_bytes - 2**29 if attack.name == "deleted_disk_filler" else 0
    monkeypatch.setattr(engine, "reserve_bytes", reserve_bytes)
    before = content_of(bundle)
    arguments = (attack.name, *attack.arguments(bundle.solution_csv("testing"), listener[0]))

    started = time.monotonic()
    message, lines = infer_and_score(bundle, engine, arguments)
    seconds = time.monotonic() - started

    record_property("verdict", "ended well, nothing reached" if not message else "refused")
    record_property("message", message)
    record_property("seconds", seconds)
    assert "reached" not in message
    assert re.search(attack.verdict or "^$", message), message
    if not message:
        assert bundle.results_csv.read_text().count("\n") == IMAGES + 1
    assert max(map(len, lines), default=0) <= 2000
    assert sum(map(len, lines)) < 3 * 2**20
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", "".join(lines))
    assert bundle.log("inference").stat().st_size < 3 * 2**20
    assert content_of(bundle) == before
    assert listener[1] == []
    owner = plan_run(INFERENCE, read_manifest(bundle.manifest), bundle, ()).owner
    assert engine.client.containers.list(all=True, filters={"label": f"{OWNER_LABEL}={owner}"}) == []


def test_the_next_run_is_unharmed(bundle: Layout, engine: DockerEngine) -> None:
    message, _ = infer_and_score(bundle, engine, ("honest",))
    assert message == ""
    assert os.listdir(bundle.results_dir) == ["classification_results.csv"]


def infer_and_score(
    layout: Layout, engine: DockerEngine, arguments: tuple[str, ...]
) -> tuple[str, list[str]]:
    """Run the attack, then score what it left; gives the first error's message and what was shown."""
    bundle = read_manifest(layout.manifest)
    lines: list[str] = []
    shutil.rmtree(layout.results_dir, ignore_errors=True)
    try:
        run_program(INFERENCE, bundle, layout, engine, arguments, lines.append)
        run_program(SCORING, bundle, layout, LocalEngine(), (), lines.append)
    except BundleError as fault:
        return str(fault), lines
    return "", lines


def content_of(layout: Layout) -> dict[str, bytes]:
    """What must be the same after an attack: the images and the reference."""
    files = [*layout.testing_data.iterdir(), layout.solution_csv("testing")]
    return {str(path): path.read_bytes() for path in files}

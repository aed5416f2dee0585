"""Make .venv with all that the bundle, its three programs and its tests need: `python install.py`.

Uses the standard library alone. Without an NVIDIA GPU it takes torch's CPU build: the usual build for Linux
brings gigabytes of CUDA.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
PROGRAMS = ("bundle_training", "bundle_inference", "scoring_program")
UV = "uv==0.11.32"
CONSTRAINTS = ROOT / "constraints.txt"


def main() -> int:
    """Install; a second call only brings up to date what changed."""
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python gets a sentence, not a traceback
        print(
            f"Python 3.11 or newer is needed; this is {sys.version.split()[0]} ({sys.executable})",
            file=sys.stderr,
        )
        return 1
    started = time.monotonic()
    try:
        if not PYTHON.exists():
            step("making .venv")
            make_environment()
        install_torch()
        step("installing the three programs' packages and the tool's")
        requirements = [word for name in PROGRAMS for word in ("-r", str(ROOT / name / "requirements.txt"))]
        pip("install", *requirements, "--editable", f"{ROOT}[dev]", "--constraint", str(CONSTRAINTS))
    except subprocess.CalledProcessError as fault:
        print(
            f"install: '{' '.join(map(str, fault.cmd[2:6]))} ...' failed; its message stands above",
            file=sys.stderr,
        )
        return 1
    step(f"done after {time.monotonic() - started:.0f} s; the tool is {VENV / PYTHON.parent.name / 'bundle'}")
    return 0


def make_environment() -> None:
    """Make .venv, or nothing: half of one would be taken for a whole one by the next call.

    Raises:
        CalledProcessError: pip cannot be put into it; why was shown.
    """
    try:
        venv.create(VENV, with_pip=False, clear=VENV.exists())
        run(str(PYTHON), "-m", "ensurepip", "--upgrade", "--default-pip")
    except BaseException:
        shutil.rmtree(VENV, ignore_errors=True)
        print("install: on Debian and Ubuntu, venv is a package: apt install python3-venv", file=sys.stderr)
        raise


def install_torch() -> None:
    """Install the pinned torch: the CPU build where there is no NVIDIA driver."""
    pin = next(
        line
        for line in (ROOT / "bundle_training" / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if line.startswith("torch==")
    )
    if shutil.which("nvidia-smi"):
        step(f"installing {pin} with CUDA: there is an NVIDIA driver")
        pip("install", pin)
    elif not brings_cuda(pin):
        step(f"installing {pin} (CPU)")
        pip("install", pin)
    else:
        step(f"installing {pin} from PyTorch's index of CPU builds: there is no NVIDIA driver")
        # uv knows the index of PyTorch's CPU builds; pip would need its address.
        pip("install", UV)
        run(str(PYTHON), "-m", "uv", "pip", "install", "--python", str(PYTHON), "--torch-backend", "cpu", pin)


def brings_cuda(pin: str) -> bool:
    """Tell whether the build that pip would take here brings CUDA packages; installs nothing."""
    report = subprocess.run(
        [str(PYTHON), "-m", "pip", "install", "--quiet", "--dry-run", "--report", "-", pin],
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    names = [item["metadata"]["name"].lower() for item in json.loads(report)["install"]]
    return any(name.startswith(("nvidia", "cuda")) for name in names)


def pip(*arguments: str) -> None:
    """Run pip in the new environment, with its progress shown."""
    run(str(PYTHON), "-m", "pip", *arguments)


def run(*command: str) -> None:
    """Run a command; its output is the user's to see."""
    subprocess.run(command, check=True)


def step(text: str) -> None:
    """Say what is done next."""
    print(f"install: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

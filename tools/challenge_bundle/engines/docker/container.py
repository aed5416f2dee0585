"""What a container of a program may see and use, and what the engine's machine gives."""

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from challenge_bundle.engines.base import Capacity, RunSpec

INPUT_MOUNT = "/mnt/in"
OUTPUT_MOUNT = "/mnt/out"
OWNER_LABEL = "challenge-bundle.owner"
PROGRAM_LABEL = "challenge-bundle.program"
KEY_LABEL = "challenge-bundle.key"

_NOBODY = 65534
_MB = 2**20


@dataclass(frozen=True, slots=True)
class Host:
    """What the engine's machine gives.

    Args:
        cpus: Processors.
        gives_gpu: Whether programs that want one get its NVIDIA GPUs.
        user: `uid:gid` that containers run as: never root, and the owner of what they write.
        memory_bytes: Memory.
        images_dir: Where the engine keeps images, if that is a folder of this machine.
        machine: As wheels name it: `x86_64` or `aarch64`.
    """

    cpus: int
    gives_gpu: bool
    user: str
    memory_bytes: int = 0
    images_dir: Path | None = None
    machine: str = "x86_64"

    @property
    def capacity(self) -> Capacity:
        """What of it all runs share."""
        return Capacity(self.cpus, self.memory_bytes, self.machine, self.gives_gpu)


def container_config(spec: RunSpec, host: Host) -> dict[str, Any]:
    """What a container may see and use: a pure function, for this alone holds a participant's program.

    Args:
        spec: What is spec.
        host: What the engine's machine gives.

    Returns:
        Keyword arguments of docker's `containers.create`.
    """
    from docker.types import DeviceRequest, LogConfig, Mount, Ulimit

    memory_bytes = spec.limits.memory_mb * _MB
    output_bytes = spec.limits.output_mb * _MB
    cpus = min(spec.limits.cpus, float(host.cpus))
    gpus = [DeviceRequest(count=-1, capabilities=[["gpu"]])] if spec.wants_gpu and host.gives_gpu else []
    folders = [INPUT_MOUNT, OUTPUT_MOUNT] if spec.names_folders else []
    return {
        "image": spec.image,
        "name": f"{spec.prefix}-{spec.name}-{uuid.uuid4().hex[:8]}",
        "command": [*folders, *spec.options(INPUT_MOUNT, OUTPUT_MOUNT)],
        "user": host.user,
        "hostname": "program",
        "environment": {
            # Numerical libraries count the machine's processors, not the container's share of them.
            "OMP_NUM_THREADS": str(max(1, int(cpus))),
            # Lines are shown when they are printed, in the order in which they are.
            "PYTHONUNBUFFERED": "1",
        },
        "network_mode": "none",
        "ipc_mode": "private",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "init": True,
        # The engine would start a participant's check from outside, again and again, at no limit's cost.
        "healthcheck": {"test": ["NONE"]},
        "pids_limit": spec.limits.pids,
        "mem_limit": memory_bytes,
        "memswap_limit": memory_bytes,
        "nano_cpus": int(cpus * 1e9),
        "oom_score_adj": 500,
        "shm_size": "256m",
        "tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=256m,mode=1777"},
        "ulimits": [
            Ulimit(name="fsize", soft=output_bytes, hard=output_bytes),
            Ulimit(name="nofile", soft=4096, hard=4096),
            Ulimit(name="core", soft=0, hard=0),
        ],
        "mounts": [
            Mount(INPUT_MOUNT, str(spec.input_dir), type="bind", read_only=True),
            Mount(OUTPUT_MOUNT, str(spec.output_dir), type="bind"),
        ],
        "device_requests": gpus,
        "log_config": LogConfig(type="json-file", config={"max-size": "4m", "max-file": "1"}),
        "labels": {OWNER_LABEL: spec.owner, PROGRAM_LABEL: spec.name, KEY_LABEL: spec.key},
    }


def read_host(info: dict[str, Any], gpus: str) -> Host:
    """Parse what the engine reports of its machine.

    Args:
        info: The answer to `docker info`.
        gpus: See DockerEngine.connect.
    """
    rootless = any("rootless" in option for option in info.get("SecurityOptions") or [])
    uid = os.geteuid() if os.name == "posix" else _NOBODY
    # In a rootless engine the container's root is the unprivileged user whose engine it is.
    user = "0:0" if rootless else f"{uid or _NOBODY}:{_NOBODY}"
    gives_gpu = gpus == "all" or (gpus == "auto" and "nvidia" in (info.get("Runtimes") or {}))
    images_dir = Path(info.get("DockerRootDir") or "/nowhere")
    return Host(
        int(info.get("NCPU") or 1),
        gives_gpu,
        user,
        int(info.get("MemTotal") or 0),
        images_dir if images_dir.is_dir() else None,
        "aarch64" if info.get("Architecture") in ("aarch64", "arm64") else "x86_64",
    )

"""What a stranger might run: each function is one attack, chosen by the first option.

Never run it outside of a container.
"""

import ctypes
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

IN, OUT = Path("/mnt/in"), Path("/mnt/out")
CSV = OUT / "classification_results.csv"
MB = 2**20


def honest() -> None:
    """Write a good csv, one row an image."""
    rows = [f"{path.name},A\n" for path in sorted(IN.iterdir())]
    CSV.write_text("file,class\n" + "".join(rows))


def fork_bomb() -> None:
    while True:
        try:
            os.fork()
        except BlockingIOError:
            time.sleep(0.05)


def memory_hog() -> None:
    hoard = []
    while True:
        hoard.append(bytearray(os.urandom(MB)) * 32)


def disk_filler() -> None:
    for number in range(10**6):
        with (OUT / f"{number}").open("wb") as out:
            out.write(os.urandom(4 * MB))


def deleted_disk_filler() -> None:
    """Files that have no name any more are on the disk all the same."""
    kept = []
    for number in range(10**6):
        out = (OUT / f"{number}").open("wb")
        (OUT / f"{number}").unlink()
        out.write(os.urandom(4 * MB))
        kept.append(out)


def many_files() -> None:
    for number in range(10**7):
        (OUT / f"{number}").touch()


def deep_folders() -> None:
    """Folders in one another, deeper than any path is long."""
    honest()
    os.chdir(OUT)
    for _ in range(3000):
        os.mkdir("d")
        os.chdir("d")


def hidden_filler() -> None:
    """Fill the disk below a path too long to look at."""
    os.chdir(OUT)
    for _ in range(30):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    for number in range(10**6):
        with open(str(number), "wb") as out:
            out.write(os.urandom(4 * MB))


def closed_folder() -> None:
    """Take the right to remove what lies in the output."""
    honest()
    (OUT / "closed").mkdir()
    (OUT / "closed" / "file").touch()
    (OUT / "closed").chmod(0)
    OUT.chmod(0o555)


def tmp_filler() -> None:
    for number in range(10**6):
        Path(f"/tmp/{number}").write_bytes(bytes(4 * MB))


def shared_memory_filler() -> None:
    for number in range(10**6):
        Path(f"/dev/shm/{number}").write_bytes(bytes(4 * MB))


def endless_loop() -> None:
    while True:
        pass


def deaf_to_sigterm() -> None:
    for number in {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
        signal.signal(number, signal.SIG_IGN)
    time.sleep(3600)


def orphan() -> None:
    """Leave a process behind that goes on after the program has ended."""
    if os.fork() == 0:
        os.setsid()
        time.sleep(3600)
    honest()


def network() -> None:
    names = [name for _, name in socket.if_nameindex()]
    if names != ["lo"]:
        sys.exit(f"reached the network interfaces {names}")
    socket.create_connection(("127.0.0.1", int(sys.argv[2])), timeout=5)
    sys.exit("reached the host's port")


def neighbours() -> None:
    """Look for the reference and whatever else lies around the input."""
    refuse_if_readable(
        "/mnt/in/../ref/testing_solution.csv",
        "/mnt/testing_solution.csv",
        "/mnt/in/testing_solution.csv",
        "/mnt/in/../../submission_directory/input/ref/testing_solution.csv",
        sys.argv[2],
    )
    for folder in ("/mnt", "/mnt/in/.."):
        if sorted(os.listdir(folder)) != ["in", "out"]:
            sys.exit(f"reached {os.listdir(folder)} in {folder}")
    for folder, _, files in os.walk("/", onerror=None):
        if "testing_solution.csv" in files and not folder.startswith("/proc"):
            sys.exit(f"reached the reference in {folder}")
    honest()


def environment() -> None:
    """Read the first process's environment and every other one."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if b"CANARY" in content:
            sys.exit(f"reached the canary in {path}")
    honest()


def engine_socket() -> None:
    for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock"):
        if os.path.exists(path):
            sys.exit(f"reached {path}")
    honest()


def write_root() -> None:
    for path in ("/written", "/etc/written", "/opt/written", "/usr/bin/written", "/root/written"):
        refuse_if(lambda path=path: Path(path).write_text("x"), f"wrote {path}")
    honest()


def write_input() -> None:
    image = next(IN.iterdir())
    refuse_if(lambda: (IN / "added.png").write_text("x"), "wrote into the input")
    refuse_if(lambda: image.write_text("x"), "changed an image")
    refuse_if(image.unlink, "removed an image")
    refuse_if(lambda: os.chmod(image, 0o777), "changed an image's mode")
    honest()


def link_out() -> None:
    CSV.symlink_to("/etc/passwd")


def link_to_reference() -> None:
    CSV.symlink_to(sys.argv[2])


def hard_link() -> None:
    refuse_if(lambda: os.link(next(IN.iterdir()), CSV), "linked an image into the output")
    os.link("/etc/passwd", CSV)


def linked_folder() -> None:
    """A folder of that name with a good csv in it."""
    (OUT / "elsewhere").mkdir()
    CSV.symlink_to(OUT / "elsewhere")


def fifo() -> None:
    os.mkfifo(CSV)


def device() -> None:
    refuse_if(lambda: os.mknod(OUT / "disk", 0o666 | stat.S_IFBLK, os.makedev(8, 0)), "made a device")
    os.mknod(CSV, 0o666 | stat.S_IFCHR, os.makedev(1, 5))


def folder() -> None:
    CSV.mkdir()


def socket_file() -> None:
    socket.socket(socket.AF_UNIX).bind(str(CSV))


def sparse() -> None:
    with CSV.open("wb") as out:
        out.truncate(10 * 2**30)


def sparse_by_signal() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    with CSV.open("wb") as out:
        out.truncate(10 * 2**30)


def long_log() -> None:
    for _ in range(1024):
        sys.stdout.write("x" * MB)
    honest()


def control_characters() -> None:
    """Try to rewrite the terminal: clear it, set its title, forge a verdict, end in half a character."""
    sys.stdout.buffer.write(
        b"\x1b[2J\x1b]0;owned\x07\rscoring: passed\x08\x08 \xe2\x80\xae\xc2\x9b31m\xff\xe2\x82"
    )
    sys.stdout.flush()
    sys.exit(1)


def forged_limit() -> None:
    """Claim in the log that the engine was at fault."""
    print("Error: the Docker Engine went away; this submission must be run again")
    sys.exit(1)


def no_output() -> None:
    print("done")


def half_csv() -> None:
    rows = [f"{path.name},A\n" for path in sorted(IN.iterdir())]
    text = "file,class\n" + "".join(rows)
    CSV.write_text(text[: len(text) // 2])


def half_csv_and_failure() -> None:
    half_csv()
    sys.exit(1)


def zombies() -> None:
    """Leave children unwaited for until no process can be made."""
    for _ in range(10**4):
        try:
            if os.fork() == 0:
                os._exit(0)
        except BlockingIOError:
            sys.exit("no more processes")


def setuid() -> None:
    refuse_if(lambda: os.setuid(0), "became root")
    status = Path("/proc/self/status").read_text()
    for field in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
        if int(status.split(f"{field}:")[1].split()[0], 16):
            sys.exit(f"reached capabilities ({field})")
    shell = subprocess.run(
        ["/opt/rootshell", "-p", "-c", "id -u"], capture_output=True, text=True, check=False
    )
    if shell.stdout.strip() == "0":
        sys.exit("became root through a setuid program")
    honest()


def mount() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for kind in (b"proc", b"tmpfs"):
        if libc.mount(kind, b"/tmp", kind, 0, None) == 0:
            sys.exit(f"mounted {kind!r}")
    if libc.unshare(0x10000000) == 0 and libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None) == 0:
        sys.exit("mounted in a user namespace")
    honest()


def refuse_if_readable(*paths: str) -> None:
    for path in paths:
        refuse_if(lambda path=path: Path(path).read_bytes(), f"read {path}")


def refuse_if(action, what: str) -> None:
    """End with a loud failure if something that must not work works."""
    try:
        action()
    except OSError:
        return
    sys.exit(f"reached: {what}")


if __name__ == "__main__":
    globals()[sys.argv[1]]()

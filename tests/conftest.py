"""What the tests share: small images, small bundles, and the three programs as modules and as processes."""

import contextlib
import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.engines.docker.engine import DockerEngine
from challenge_bundle.errors import UnavailableError
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout
from challenge_bundle.sources.synthetic import SyntheticSource

MANIFEST = """\
[bundle]
name = "tiny"

[data]
source = "synthetic"
sample_size = 4

[training]
arguments = ["--epochs", "2"]
"""

BASE_IMAGE = "python:3.11-slim"

RunProgram = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long tests/fuzz tries made-up files, and which; see `make fuzz`."""
    parser.addoption("--fuzz-seconds", type=float, default=4.0, help="of each fuzz test (default: 4)")
    parser.addoption("--fuzz-seed", type=int, default=0, help="another one tries other files (default: 0)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each fuzz test its time, and so much more that only one that hangs is ended."""
    for item in items:
        if "fuzz" in item.path.parts:
            item.add_marker(pytest.mark.timeout(config.getoption("--fuzz-seconds") + 180))


def say_nothing(what: str, done: int, total: int) -> None:
    """A progress callback for tests that do not look at it."""


def write_image(path: Path, seed: int = 0, size: tuple[int, int] = (8, 8)) -> Path:
    """Write an image of noise, different for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty bundle."""
    root = tmp_path / "bundle"
    root.mkdir()
    (root / "bundle.toml").write_text(MANIFEST)
    return Layout(root)


@pytest.fixture
def filled_layout(layout: Layout) -> Layout:
    """A bundle with four synthetic images of each class in each split."""
    import_images(SyntheticSource(), ImportRequest(sample_size=4), layout, say_nothing)
    return layout


@pytest.fixture
def program_module() -> Iterator[Callable[[str, str], ModuleType]]:
    """Import a program's module as the program itself would; its siblings are forgotten afterwards."""
    path = list(sys.path)
    folders: set[Path] = set()

    def load(folder: str, name: str) -> ModuleType:
        folders.add(PROJECT_ROOT / folder)
        sys.path.insert(0, str(PROJECT_ROOT / folder))
        return importlib.import_module(name)

    yield load
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "/").parent in folders:
            del sys.modules[name]


@pytest.fixture
def run_script(tmp_path: Path) -> RunProgram:
    """Run a program as a process, with an environment that holds next to nothing."""

    def run(script: str, *arguments: object, cwd: Path = tmp_path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, str(PROJECT_ROOT / script), *map(str, arguments)],
            cwd=cwd,
            env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    """A runner on the engine of this machine; where none answers, or it cannot get the base image, skip."""
    wheelhouse = os.environ.get("BUNDLE_WHEELHOUSE")
    try:
        runner = DockerEngine.connect("none", Path(wheelhouse) if wheelhouse else None)
    except UnavailableError as fault:
        pytest.skip(f"needs a Docker Engine: {fault}")
    if not runner.client.images.list(name=BASE_IMAGE):
        pytest.skip(f"needs the image {BASE_IMAGE}: docker pull {BASE_IMAGE}")
    yield runner
    runner.close()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """An S3 server of our own, a process; gives its address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(
        [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)],
        **quiet,
    )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert server.poll() is None, "the S3 server did not start"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def s3_bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket for this test alone, with the environment that reaches it; gives its name."""
    import boto3

    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name


def upload_folder(folder: Path, bucket: str, prefix: str) -> None:
    """Put all files of a folder into a bucket, by several threads."""
    import boto3

    client = boto3.client("s3")
    files = [path for path in folder.rglob("*") if path.is_file()]
    with ThreadPoolExecutor() as pool:
        list(
            pool.map(
                lambda path: client.put_object(
                    Bucket=bucket,
                    Key=f"{prefix}/{path.relative_to(folder).as_posix()}",
                    Body=path.read_bytes(),
                ),
                files,
            )
        )


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A PostgreSQL server of our own, on a socket in a folder of our own; where it is not installed, skip."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    initdb = shutil.which("initdb", path=os.pathsep.join([*map(str, reversed(found)), os.environ["PATH"]]))
    if initdb is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    # It refuses to run as root.
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        if user:
            shutil.chown(folder, user)
        data = Path(folder) / "data"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, "user": user}
        subprocess.run([initdb, "-D", data, "-U", "tester", "-A", "trust"], check=True, **quiet)
        server = subprocess.Popen(
            # A busy disk made its end take half a minute; what is in it lives for these tests alone.
            [
                Path(initdb).with_name("postgres"),
                *("-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"),
            ],
            **quiet,
        )
        try:
            for _ in range(300):
                if (Path(folder) / ".s.PGSQL.5432").exists():
                    break
                time.sleep(0.1)
            yield f"postgresql://tester@/postgres?host={folder}"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)


@pytest.fixture(scope="session")
def browser() -> str:
    """A browser's command."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("needs a browser: apt-get install chromium")
    return found


DATABASES = ("sqlite", "postgresql")


def new_database(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of the kind that a fixture's parameter names."""
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path') / 'made.sqlite'}"
    server = request.getfixturevalue("postgresql_url")
    name = f"test_{uuid.uuid4().hex}"
    engine = sa.create_engine(
        server.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(sa.text(f"create database {name}"))
    engine.dispose()
    return str(server.replace("/postgres?", f"/{name}?"))


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, of each kind in turn."""
    return new_database(request)

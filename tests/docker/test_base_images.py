"""What submissions may be built on, on a real engine: nothing is fetched, and nothing of ours is read."""

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from challenge_bundle.bounded_log import BoundedLog
from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.engines.build_context import submission_files
from challenge_bundle.engines.docker.engine import DockerEngine
from challenge_bundle.errors import DataError
from challenge_bundle.evaluation.building import build_files
from challenge_bundle.evaluation.context import Context, read_context
from challenge_bundle.evaluation.verdicts import Inconclusive, Refusal, Verdict
from challenge_bundle.layout import Layout
from challenge_bundle.settings import read_manifest
from challenge_bundle.sources.synthetic import SyntheticSource
from tests.conftest import BASE_IMAGE

OURS = "challenge-test-scoring:latest"
TRIGGERED = "challenge-test-triggered:1"
PLAIN = "challenge-test-plain:1"
END = '\nENTRYPOINT ["python3", "/x.py"]\n'


def say_nothing(*what: object) -> None:
    """A callback for tests that do not look at it."""


@pytest.fixture(scope="module")
def images(engine: DockerEngine) -> Iterator[dict[str, str]]:
    """An image of ours with a secret, one with triggers and a plain one; gives their identifiers by name."""
    made = {
        OURS: (f"FROM {BASE_IMAGE}\nRUN echo secret > /secret", {"challenge-bundle.program": "scoring"}),
        TRIGGERED: (f"FROM {BASE_IMAGE}\nONBUILD RUN echo triggered > /triggered", {}),
        PLAIN: (f"FROM {BASE_IMAGE}\nENV PLAIN=yes", {}),
    }
    ids: dict[str, str] = {}
    for name, (text, labels) in made.items():
        content = io.BytesIO(text.encode())
        image = engine.client.images.build(fileobj=content, tag=name, labels=labels, rm=True)[0]
        ids[name] = str(image.id)
    yield ids
    for name in made:
        engine.client.images.remove(name, force=True)


def site_of(root: Path, settings: str = "") -> Context:
    root.mkdir(exist_ok=True)
    (root / "bundle.toml").write_text(f'[bundle]\nname = "tiny"\n[evaluation]\nbuild_time_s = 60\n{settings}')
    layout = Layout(root)
    if not layout.testing_data.is_dir():
        import_images(SyntheticSource(), ImportRequest(sample_size=1), layout, say_nothing)
    return read_context(read_manifest(layout.manifest), layout)


@pytest.fixture
def verdict(engine: DockerEngine, images: dict[str, str], tmp_path: Path):
    """Builds a submission; gives its verdict, None if it is built, and what the build printed."""

    def build(dockerfile: str, settings: str = "") -> tuple[Verdict | None, str]:
        folder = tmp_path / "zip"
        folder.mkdir(exist_ok=True)
        (folder / "Dockerfile").write_text(dockerfile)
        (folder / "x.py").write_text("print()\n")
        (tmp_path / "log").unlink(missing_ok=True)
        context = site_of(tmp_path / "bundle", settings)
        found: Verdict | None = None
        try:
            with BoundedLog(tmp_path / "log") as log:
                files, hides = submission_files(folder)
                facts = build_files(context, engine, files, "challenge-test", log, hides_dockerfile=hides)
            engine.forget(str(facts["tag"]))
        except Refusal as refusal:
            found = refusal.verdict
        except Inconclusive as doubt:
            found = doubt.refusal.verdict
        return found, (tmp_path / "log").read_text()

    return build


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        ("FROM NAME", "base-image", "is not a base image"),
        ("FROM\tNAME", "base-image", "is not a base image"),
        ("FROM docker.io/library/NAME", "base-image", "is not a base image"),
        (
            "ARG A=${HTTP_PROXY:-challenge-test}\nARG B=$A-scoring\nFROM ${B}:latest",
            "base-image",
            "is not a base",
        ),
        ("ARG X=1\nFROM ${X:+challenge-test-scoring}", "base-image", "is not a base image"),
        ("FROM BASE\nCOPY --from=NAME /secret /", "base-image", "names no earlier stage"),
        ("FROM BASE\nCOPY\t--from=NAME /secret /", "base-image", "names no earlier stage"),
        ('FROM BASE\nCOPY --from="NAME" /secret /', "base-image", "has the flag"),
        ("FROM BASE\nCOPY --fr\\om=NAME /secret /", "zip", "has the flag"),
        ("FROM BASE\nRUN --mount=type=bind,from=NAME,target=/x cat /x/secret", "base-image", "has the flag"),
        ("FROM BASE\nRUN echo <<A\nCOPY --from=NAME /secret /\nA", "zip", "heredoc"),
        ("FROM BASE\nRUN true \u00a0\\\nCOPY --from=NAME /secret /", "zip", "U+00A0"),
        ("FROM BASE\nRUN true \u2028COPY --from=NAME /secret /", "zip", "U+2028"),
        ("FROM NAME AS a\nFROM BASE\nCOPY --from=a /secret /", "base-image", "Dockerfile:1"),
        ("FROM ID", "base-image", "is not the name of an image"),
        ("FROM SHORT", "no-base-image", "is not on this machine"),
        ("FROM challenge-test-triggered:1", "base-image", "has ONBUILD triggers"),
        ("FROM BASE\nONBUILD RUN true", "base-image", "ONBUILD would run"),
        ("FROM no-such-image:1", "no-base-image", "is not on this machine"),
        ("FROM BASE AS a\nFROM no-such-image:1 AS b\nFROM BASE", "no-base-image", "Dockerfile:2"),
        ("FROM --platform=linux/riscv64 BASE", "no-base-image", "is not there for linux/riscv64"),
        ("# syntax=no-such-registry.example/x\nFROM BASE", "zip", "asks for the syntax"),
    ],
)
def test_what_is_not_given_is_refused_before_the_engine_builds(
    text: str, code: str, word: str, verdict, images: dict[str, str]
) -> None:
    text = text.replace("NAME", "challenge-test-scoring").replace("BASE", BASE_IMAGE)
    text = text.replace("ID", images[OURS]).replace("SHORT", images[OURS].removeprefix("sha256:")[:12])
    found, log = verdict(text + END)
    assert found is not None
    assert (found.code, len(found.lines)) == (code, 1)
    assert word in found.lines[0]
    assert log == ""


class _Page(BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, *what: object) -> None:
        """Nothing is printed."""


def test_nothing_is_asked_of_a_server_here(verdict) -> None:
    """A page of the organiser's own machine, as an address and as a registry."""
    _Page.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = f"127.0.0.1:{server.server_port}"
    try:
        for step in (
            f"ADD http://{place}/page /",
            f"ADD\thttp://{place}/page /",
            f'ADD ["http://{place}/page", "/"]',
            f"ARG U=http:\nADD ${{U}}//{place}/page /",
            f"ADD --checksum=sha256:{'0' * 64} http://{place}/page /",
        ):
            found, log = verdict(f"FROM {BASE_IMAGE}\n{step}{END}")
            assert found is not None
            assert (found.code, log) == ("zip", ""), step
        found, log = verdict(f"FROM {place}/page{END}")
        assert found is not None
        assert (found.code, log, _Page.asked) == ("no-base-image", "", [])
        # With the organiser's leave, and for what the list names alone.
        settings = f'base_images = ["{place}/page"]\npull = true\n'
        found, log = verdict(f"FROM {place}/page{END}", settings)
        assert found is not None
        assert found.code == "no-base-image"
        assert _Page.asked
        assert all(path.startswith("/v2") for path in _Page.asked)
        found, log = verdict(f"FROM {BASE_IMAGE}{END}", settings)
        assert found is not None
        assert (found.code, log) == ("base-image", "")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "text",
    [
        "FROM BASE",
        '\ufefffrom\tBASE\r\ncmd\t["x"]\r',
        "FROM docker.io/library/BASE AS One\nFROM one\nCOPY --from=0 /etc/hostname /h",
        "FROM challenge-test-plain:1\nRUN \\\n\n# a comment\n  [ $PLAIN = yes ]",
        "FROM scratch\nCOPY x.py /",
        "FROM BASE\nADD x.p[y] /\nRUN python3 -c \"assert open('/x.py').read() == 'print()\\n'\"",
    ],
)
def test_what_is_given_is_built_on(text: str, verdict) -> None:
    text = text.replace("BASE", BASE_IMAGE)
    found, log = verdict(text + END)
    assert found is None, (found, log)


def test_a_list_names_what_is_given_in_any_form(verdict) -> None:
    settings = f'base_images = ["docker.io/library/{BASE_IMAGE}"]\n'
    assert verdict(f"FROM {BASE_IMAGE}{END}", settings)[0] is None
    assert verdict(f"FROM index.docker.io/{BASE_IMAGE}{END}", settings)[0] is None
    found = verdict(f"FROM {PLAIN}{END}", settings)[0]
    assert found is not None
    assert found.code == "base-image"


def test_a_dockerignore_that_is_not_valid_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM a\n")
    (tmp_path / ".dockerignore").write_text("[\n")
    with pytest.raises(DataError, match=r"\.dockerignore:1: the pattern"):
        submission_files(tmp_path)

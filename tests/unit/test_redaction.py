"""No part of a password in messages, tracebacks and files; no URL where a path is wanted."""

import functools
import http.server
import os
import random
import re
import string
import subprocess
import sys
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import click
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from challenge_bundle.cli import main
from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.evaluation.feedback import write_feedback
from challenge_bundle.evaluation.intake import Submission
from challenge_bundle.evaluation.records import REFUSED, Row
from challenge_bundle.evaluation.verdicts import Verdict
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout
from challenge_bundle.redaction import MASK, find_secrets, redact, secrets_in, without_paths, without_secrets
from challenge_bundle.sources.choice import choose_source
from challenge_bundle.store.images import ImageStore
from tests.conftest import MANIFEST, write_image


@pytest.mark.parametrize(
    ("url", "secret", "shown"),
    [
        ("postgresql://u:p@ss@host/db", "p@ss", "postgresql://host/db"),
        ("postgresql://u:pa/ss@host/db", "pa/ss", "postgresql://host/db"),
        ("postgresql://u:pa?s#s@host/db", "pa?s#s", "postgresql://host/db"),
        ("postgresql://u:pa[ss]:@host/db", "pa[ss]:", "postgresql://host/db"),
        ("postgresql://u:se\ncret@host/db", "se\ncret", "postgresql://host/db"),
        ("postgresql://u:secret", "secret", "postgresql://***"),
        ("s3://key:secret@bucket/x", "secret", "s3://bucket/x"),
        ("https://token@host/x", "token", "https://host/x"),
        ("https://host/x?X-Amz-Signature=abcd&y=1", "abcd", "https://host/x"),
        ("https://host/x?api_key=abcd", "abcd", "https://host/x"),
        ("http://%40u:%2Fpw@host:80/x", "%2Fpw", "http://host:80/x"),
        ("http://[::1]:80/x", "", "http://[::1]:80/x"),
        ("http://host:8080/x?page=2", "", "http://host:8080/x"),
        ("s3://bucket/a@b/c", "", "s3://bucket/a@b/c"),
        ("s3://bucket/a:b@c", "", "s3://bucket/a:b@c"),
        ("sqlite:////a:b/c", "", "sqlite:////a:b/c"),
    ],
)
def test_what_is_secret_of_a_url(url: str, secret: str, shown: str) -> None:
    assert secret in (secrets_in(url) or {""})
    assert without_secrets(url) == shown


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("redis//user:secret@", "secret"),
        ("user:secret@host", "secret"),
        ("postgresql:/u:secret@host", "secret"),
        ("postgresql:u:secret@host", "secret"),
        ("folder:/data/a:b@c", ""),
        ("coco:x/a.json?category=car", ""),
        ("C:\\data\\a@b", ""),
        ("/data/a:b@c", ""),
        ("label == 'a'", ""),
    ],
)
def test_what_is_secret_of_what_is_hardly_a_url(text: str, secret: str) -> None:
    assert any(secret in found for found in secrets_in(text) or {""})
    assert bool(secrets_in(text)) == bool(secret)


def test_all_that_a_command_was_told() -> None:
    found = find_secrets(
        ["data", "import", "s3://a:first@b", "--database=postgresql://u:second@h"],
        {"BUNDLE_STORE": "redis//u:third@", "POSTGRES_PASSWORD": "fourth", "HTTPS_PROXY": "http://u:fifth@p"}
        | {"PATH": "/usr/bin:/x@y", "EMAIL": "me@host"},
        ["export POSTGRES_PASSWORD='sixth'", "# a comment", 'source = "s3://k:seventh@b"'],
    )
    assert found == {"first", "second", "third", "fourth", "fifth", "sixth", "seventh"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no host 'ecret@h' in x", f"no host '{MASK}@h' in x"),
        ("SECRET and cre", f"{MASK} and cre"),
        ("at http://u:other@h/x.", f"at http://u:{MASK}@h/x."),
        ("%73ecret", f"%73{MASK}"),
        ("nothing", "nothing"),
    ],
)
def test_a_secret_is_masked_in_whole_and_in_parts(text: str, shown: str) -> None:
    assert redact(text, ["secret"]) == shown


def test_a_default_password_leaves_messages_readable() -> None:
    message = "the database's URL begins with x://; expected postgresql://HOST/NAME"
    assert redact(message, secrets_in("postgresql://postgres:postgres@host/db")) == message


def run(*arguments: str, cwd: Path, **environment: str) -> str:
    """What a command prints, and must not end in a traceback."""
    done = subprocess.run(
        [sys.executable, str(PROJECT_ROOT / "tools" / "bundle.py"), "--bundle", str(cwd), *arguments],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd)} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    text = done.stdout + done.stderr
    assert done.returncode in (1, 2, 4), text
    assert "Traceback" not in text
    assert "Error: " in text
    return text


def parts(password: str) -> set[str]:
    forms = {password, quote(password, safe=""), repr(password)[1:-1]}
    return {form[start : start + 4].lower() for form in forms for start in range(len(form) - 3)}


FORMS = (
    "postgresql://u:{}@127.0.0.1:1/db",
    "postgresql://u:{}",
    "postgresql://u:{}@",
    "postgresql:/u:{}@h/db",
    "mysql://u:{}@h/db",
    "u:{}@h/db",
)


@pytest.mark.parametrize("seed", range(3))
def test_no_four_characters_of_a_password_are_shown(seed: int, tmp_path: Path) -> None:
    """By every way in which a URL is told; the ports are closed, so nothing answers."""
    (tmp_path / "bundle.toml").write_text(MANIFEST)
    chosen = random.Random(seed)
    # No letters of words that messages are made of.
    alphabet = string.digits + "QXZJqxzj" + "@:/?#[]%& '\"\n"
    asked: list[tuple[tuple[str, ...], dict[str, str]]] = []
    secrets: set[str] = set()

    def password() -> str:
        made = "".join(chosen.choices(alphabet, k=chosen.choice((8, 20, 300))))
        secrets.update(parts(made))
        return made

    form = FORMS[chosen.randrange(len(FORMS))]
    asked = [
        (("store", "query", "labels", "--database", FORMS[seed].format(password())), {}),
        (("store", "query", "labels"), {"BUNDLE_STORE": form.format(password())}),
        (("store", "query", "labels"), {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": "1"}),
        (("leaderboard",), {"BUNDLE_DATABASE": FORMS[seed + 1].format(password())}),
        (("data", "import", FORMS[seed + 2].format(password())), {}),
        (("data", "import", f"redis//user:{password()}@"), {}),
        (("data", "import", f"ftps://user:{password()}@127.0.0.1:1/x"), {}),
        (("zip", "--output", f"s3://key:{password()}@bucket/x.zip"), {}),
        (("--bogus", f"s3://key:{password()}@bucket"), {}),
        (("build",), {"DOCKER_HOST": f"tcp://u:{password()}@127.0.0.1:1"}),
    ]
    asked[2][1]["POSTGRES_PASSWORD"] = password()
    for arguments, environment in asked:
        told = run(*arguments, cwd=tmp_path, **environment).lower()
        assert "rror: " in told, (arguments, environment)
        assert not [part for part in secrets if part in told], (arguments, environment, told)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_text(errors="replace").lower()
            assert not [part for part in secrets if part in content], path


@pytest.mark.parametrize("url", ["postgresql://u:s3c@ret9@h/db", "postgresql://u:sesam", "u:sesam@h"])
def test_a_database_whose_url_cannot_be_read(url: str) -> None:
    for make in (lambda: ImageStore(url), lambda: choose_source(url, Path())):
        with pytest.raises((UnavailableError, DataError)) as fault:
            make()
        assert not re.search("s3c|ret9|sesam", str(fault.value))


TOOL = PROJECT_ROOT / "tools" / "bundle.py"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("stat /var/lib/docker/tmp/docker-builder1/a.py: no such file", "stat .../a.py: no such file"),
        ("in '/srv/lab/.bundle/zips/ab.zip'", "in '.../ab.zip'"),
        ("/srv/lab: not empty (/srv/lab/)", "...: not empty (...)"),
        ("/srv/labels/x and /opt/srv/lab/x and /mnt/in/x", "/srv/labels/x and /opt/srv/lab/x and /mnt/in/x"),
    ],
)
def test_a_participant_sees_no_folder_of_this_machine(text: str, shown: str) -> None:
    assert without_paths(text, ["/srv/lab", "/srv/lab/deep/"]) == shown


def test_feedback_holds_no_path_of_this_machine(layout: Layout) -> None:
    lines = (f"{layout.state}/x.zip: odd", "stat /var/lib/docker/overlay2/ab/y: lost", "/mnt/out/z stays")
    submission = Submission("0" * 64, "team", "method", datetime.now(UTC), "team__method.zip")
    row = Row(submission, "", REFUSED, 0, Verdict("build-failed", {}, lines), "", None)
    write_feedback(layout, [row])
    (text,) = [path.read_text() for path in (layout.evaluation / "feedback").glob("*.txt")]
    assert [line.strip() for line in text.splitlines()[-3:]] == [
        ".../x.zip: odd",
        "stat .../y: lost",
        "/mnt/out/z stays",
    ]
    for path in (layout.evaluation / "feedback").iterdir():
        assert str(layout.root) not in path.read_text()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def test_what_succeeds_writes_no_password_either(tmp_path: Path, postgresql_url: str) -> None:
    """Sources that answer, by URLs with a password: nothing that is printed or written holds it."""
    for number in range(24):
        write_image(tmp_path / "served" / "ab"[number % 2] / f"{number}.png", seed=number)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "bundle.toml").write_text(MANIFEST)
    name = f"test_{uuid.uuid4().hex}"
    engine = sa.create_engine(postgresql_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"create database {name}"))
    engine.dispose()
    database = postgresql_url.replace("tester@/postgres", f"tester:Qz7xJ9kW@/{name}")
    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        source = f"http://u:Qz7xJ9kW@127.0.0.1:{served.server_port}/"
        told = ""
        for arguments in (
            ("store", "ingest", source, "--database", database),
            ("store", "query", "labels", "--output", "labels.csv", "--database", database),
            ("data", "import", database),
            ("data", "import", source),
            ("data", "audit", "--check", "balance"),
        ):
            done = subprocess.run(
                [
                    sys.executable,
                    str(PROJECT_ROOT / "tools" / "bundle.py"),
                    "--bundle",
                    str(bundle),
                    *arguments,
                ],
                cwd=bundle,
                env={"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")},
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            told += done.stdout + done.stderr
            assert done.returncode == 0, told
        served.shutdown()
        thread.join()
    assert "24 new of 24 images" in told
    written = [path for path in bundle.rglob("*") if path.is_file()]
    assert len(written) > 24
    for text in (told, *(path.read_text(errors="replace") for path in written)):
        assert not re.search("Qz7x|z7xJ|7xJ9|xJ9k|J9kW", text)


def test_a_traceback_holds_no_password(tmp_path: Path) -> None:
    code = (
        "import sys; from challenge_bundle import cli\n"
        "sys.argv[1:] = ['--bundle', sys.argv[1], 'doctor', 'x://u:s3cret9@h']\n"
        "sys.excepthook = cli._show_traceback\n"
        "raise RuntimeError('no way to x://u:s3cret9@h, nor cret9')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"RuntimeError: no way to x://u:{MASK}@h, nor {MASK}" in done.stderr


def path_parameters() -> list[tuple[list[str], click.Parameter]]:
    """Every option and argument of every command that is a path."""
    found: list[tuple[list[str], click.Parameter]] = []

    def look(command: click.Command, name: list[str]) -> None:
        paths = (one for one in command.params if isinstance(one.type, click.Path | click.File))
        found.extend((name, parameter) for parameter in paths)
        for inner in command.commands.values() if isinstance(command, click.Group) else ():
            look(inner, [*name, str(inner.name)])

    look(main, [])
    return found


def test_every_path_of_every_command_is_known() -> None:
    assert len(path_parameters()) > 10


@pytest.mark.parametrize(
    "url", ["s3://bucket/x.zip", "file:///tmp/x.zip", "HTTPS://h/x", " gs:/b/x", "az:\\b\\x"]
)
def test_no_path_of_any_command_is_a_url(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bundle.toml").write_text(MANIFEST)
    monkeypatch.chdir(tmp_path)
    for name, parameter in path_parameters():
        before = ["--bundle", str(tmp_path)] if name else []
        given = [url] if isinstance(parameter, click.Argument) else [parameter.opts[0], url]
        # An argument that is asked for first, where there is one; a query as good as any.
        first = {"query": ["labels"], "sample": ["3"], "contact-sheet": [str(tmp_path)]}
        needed = first.get(name[-1], []) if name and not isinstance(parameter, click.Argument) else []
        done = CliRunner().invoke(main, [*before, *name, *needed, *given, *([] if name else ["doctor"])])
        assert done.exit_code == 2, (name, parameter.name, done.output)
        assert "is not taken here; expected a path on this machine" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.toml"]

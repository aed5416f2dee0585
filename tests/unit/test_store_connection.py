"""Which store: the environment before .env, .env before the default."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.layout import Layout
from challenge_bundle.sources.choice import choose_source
from challenge_bundle.sources.image_store import StoreSource
from challenge_bundle.store.connection import StoreSettings, read_settings

ENV = """\
# of docker compose
POSTGRES_HOST=db
POSTGRES_PORT=5433
export POSTGRES_USER="me"
POSTGRES_PASSWORD='p@ss/word'
POSTGRES_DB=images # the name
IMAGE_SAMPLE_SIZE=1000
IMAGES_S3_LOCATION=bucket/medical
"""


def test_an_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(ENV)
    url = "postgresql://me:p%40ss%2Fword@db:5433/images"
    default = tmp_path / "x.sqlite"
    assert read_settings(tmp_path / ".env", default, {}) == StoreSettings(url, "s3://bucket/medical", 1000)
    changed = read_settings(tmp_path / ".env", default, {"POSTGRES_HOST": "other", "IMAGE_SAMPLE_SIZE": "3"})
    assert changed.url == url.replace("@db", "@other")
    assert changed.sample_size == 3


def test_without_any(tmp_path: Path) -> None:
    found = read_settings(tmp_path / ".env", tmp_path / "x.sqlite", {})
    assert found == StoreSettings(f"sqlite:///{tmp_path}/x.sqlite", None, 0)


@pytest.mark.parametrize(
    ("text", "code", "row"),
    [
        ("POSTGRES_HOST\n", "env-line-invalid", 1),
        ("A=1\n\n'A=2\n", "env-line-invalid", 3),
        ("IMAGE_SAMPLE_SIZE=many\n", "env-not-a-number", None),
        ("IMAGE_SAMPLE_SIZE=-1\n", "env-not-a-number", None),
    ],
)
def test_faults(text: str, code: str, row: int | None, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(text)
    with pytest.raises(DataError) as fault:
        read_settings(tmp_path / ".env", tmp_path / "x.sqlite", {})
    assert (fault.value.code, fault.value.row) == (code, row)
    assert fault.value.finding.location == str(tmp_path / ".env")


def test_values_are_taken_as_written(tmp_path: Path) -> None:
    lines = ["POSTGRES_HOST=h", "POSTGRES_USER=u", "POSTGRES_PASSWORD='${HOME}$x # y'", "POSTGRES_DB=d#e"]
    (tmp_path / ".env").write_text("\n".join(lines))
    found = sa.make_url(read_settings(tmp_path / ".env", tmp_path / "x.sqlite", {}).url)
    assert (found.host, found.username, found.password, found.database) == ("h", "u", "${HOME}$x # y", "d#e")


def test_a_url_counts_before_the_parts_of_one(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(ENV)
    changed = read_settings(
        tmp_path / ".env", tmp_path / "x.sqlite", {"BUNDLE_STORE": "sqlite:////a/b.sqlite"}
    )
    assert changed.url == "sqlite:////a/b.sqlite"


def test_the_source_named_store_is_the_database_of_the_settings(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BUNDLE_STORE", "POSTGRES_HOST"):
        monkeypatch.delenv(name, raising=False)
    own = choose_source("store", tmp_path, layout=layout)
    assert own.description == f"sqlite:///{layout.store_file}"
    layout.env_file.write_text(ENV)
    assert "me:***@db:5433/images" in choose_source("store", tmp_path, layout=layout).description


def test_a_condition_stands_last_and_as_it_is(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BUNDLE_STORE", "POSTGRES_HOST"):
        monkeypatch.delenv(name, raising=False)
    where = "'a:b&c=d+%20?where=' in origin and width>=64"
    for text, place in (
        (f"store?where={where}", f"sqlite:///{layout.store_file}"),
        (f"sqlite:////a/b.sqlite?where={where}", "sqlite:////a/b.sqlite"),
    ):
        source = choose_source(text, layout.root, layout=layout)
        assert source.description == f"{place}?where={where}"
    there = f"postgresql://me:secret@/images?host=/run/p&where={where}"
    source = choose_source(there, layout.root)
    assert source.description == there.replace("secret", "***").replace("/run/p", "%2Frun%2Fp")
    assert isinstance(source, StoreSource)
    assert (source.url, source.where) == ("postgresql://me:secret@/images?host=/run/p", where)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("store?", r"expected store\?where=CONDITION"),
        ("store?label=a", r"expected store\?where=CONDITION.* but got 'store\?label=a'"),
        ("store?where=", r"expected store\?where=CONDITION"),
        ("store?where=label == NORMAL", "cannot be read .NORMAL is not a value"),
    ],
)
def test_conditions_of_the_source_that_are_none(text: str, message: str, layout: Layout) -> None:
    with pytest.raises(DataError, match=message):
        choose_source(text, layout.root, layout=layout)


@pytest.mark.parametrize("text", ["sqlite:nofile", "postgresql:host"])
def test_what_is_no_url_is_said_in_a_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as fault:
        choose_source(text, tmp_path)
    assert fault.value.code == "database-url-invalid"
    assert "the database's URL cannot be parsed" in fault.value.finding.message


def test_an_env_file_of_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("POSTGRES_PASSWORD=\u00e4".encode("latin-1"))
    with pytest.raises(DataError) as fault:
        read_settings(tmp_path / ".env", tmp_path / "x.sqlite", {})
    assert fault.value.code == "env-not-utf8"

"""Which store, and what goes into it: from the environment, or a .env file beside bundle.toml."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from challenge_bundle.errors import DataError


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """What is set.

    Args:
        url: Of the database.
        source: What `store ingest` takes; None if it is not set.
        sample_size: Images in all; 0 takes all.
    """

    url: str
    source: str | None
    sample_size: int


def read_settings(env_file: Path, default_file: Path, environment: Mapping[str, str]) -> StoreSettings:
    """Read the settings; the environment counts before the file.

    Args:
        env_file: With lines of NAME=VALUE; it need not be there.
        default_file: SQLite file, where no PostgreSQL server is set.
        environment: The process's.

    Raises:
        DataError: A line or a number is at fault.
    """
    values = _parse_env(env_file) | {name: value for name, value in environment.items() if value}
    try:
        sample_size = int(values.get("IMAGE_SAMPLE_SIZE") or 0)
        port = int(values["POSTGRES_PORT"]) if values.get("POSTGRES_PORT") else None
        if sample_size < 0:
            raise ValueError(f"{sample_size} is less than 0")
    except ValueError as fault:
        raise DataError(
            f"IMAGE_SAMPLE_SIZE and POSTGRES_PORT are whole numbers ({fault})", env_file
        ) from None
    url = sa.URL.create("sqlite", database=str(default_file))
    if values.get("POSTGRES_HOST"):
        url = sa.URL.create(
            "postgresql",
            values.get("POSTGRES_USER") or None,
            values.get("POSTGRES_PASSWORD") or None,
            values["POSTGRES_HOST"],
            port,
            values.get("POSTGRES_DB") or values.get("POSTGRES_USER") or "postgres",
        )
    source = values.get("IMAGES_S3_LOCATION") or None
    if source and "://" not in source:
        source = f"s3://{source}"
    whole = values.get("BUNDLE_STORE") or url.render_as_string(hide_password=False)
    return StoreSettings(whole, source, sample_size)


def _parse_env(path: Path) -> dict[str, str]:
    """NAME=VALUE lines, as docker compose takes them; blank lines and those with # are passed over."""
    values: dict[str, str] = {}
    if not path.is_file():
        return values
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as fault:
        raise DataError(f"is not UTF-8 ({fault}); save it as such", path) from None
    for row, line in enumerate(content.splitlines(), start=1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals:
            raise DataError("is not NAME=VALUE; correct or remove it", path, row)
        value = value.strip()
        is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        values[name.strip()] = value[1:-1] if is_quoted else value.partition(" #")[0].strip()
    return values

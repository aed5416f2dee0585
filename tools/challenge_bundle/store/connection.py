"""The image database's settings, from the environment or a .env file beside bundle.toml."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from challenge_bundle.errors import DataError


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """The settings.

    Args:
        url: URL of the database.
        source: What `store ingest` imports; None if it is not set.
        sample_size: Number of images that it imports; 0 takes all.
    """

    url: str
    source: str | None
    sample_size: int


def read_settings(env_file: Path, default_file: Path, environment: Mapping[str, str]) -> StoreSettings:
    """Read the settings; the environment takes precedence over the file.

    Args:
        env_file: With lines of NAME=VALUE; may be missing.
        default_file: The SQLite file that is used if no PostgreSQL server is set.
        environment: Of the process.

    Raises:
        DataError: A line or a number is not valid.
    """
    values = _read_env(env_file) | {name: value for name, value in environment.items() if value}
    try:
        sample_size = int(values.get("IMAGE_SAMPLE_SIZE") or 0)
        port = int(values["POSTGRES_PORT"]) if values.get("POSTGRES_PORT") else None
        if sample_size < 0:
            raise ValueError(f"{sample_size} is less than 0")
    except ValueError as fault:
        raise DataError(
            f"expected a whole number in IMAGE_SAMPLE_SIZE and POSTGRES_PORT ({fault})",
            env_file,
            code="env-not-a-number",
            hint="correct it there, or in the environment",
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


def _read_env(path: Path) -> dict[str, str]:
    """The values of a .env file, as written: nothing like ${NAME} in a password is replaced.

    dotenv_values would pass over a line that it cannot read; its parser reports the line's number.
    """
    from dotenv.parser import parse_stream

    if not path.is_file():
        return {}
    try:
        bindings = list(parse_stream(io.StringIO(path.read_text(encoding="utf-8"))))
    except UnicodeDecodeError as fault:
        raise DataError(
            f"is not UTF-8 ({fault})", path, code="env-not-utf8", hint="save it as UTF-8"
        ) from None
    values: dict[str, str] = {}
    for binding in bindings:
        if binding.error or (binding.key is not None and binding.value is None):
            text = binding.original.string
            blank_lines = text[: len(text) - len(text.lstrip())].count("\n")
            raise DataError(
                "expected NAME=VALUE",
                path,
                binding.original.line + blank_lines,
                code="env-line-invalid",
                hint="correct or remove the line",
            )
        if binding.key is not None:
            values[binding.key] = str(binding.value)
    return values

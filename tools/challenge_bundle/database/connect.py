"""A database by its URL: SQLite or PostgreSQL, durable, with tables of this version of the tool."""

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.installation import install_hint
from challenge_bundle.redaction import redact, secrets_in

_KINDS = ("sqlite", "postgresql", "postgres")
_FORMS = "sqlite:///FILE or postgresql://HOST/NAME"

_WAIT_S = 30
"""How long SQLite waits for a lock of another process."""

_NO_DATABASE = re.compile(r'database "(.+)" does not exist')


@dataclass(frozen=True, slots=True)
class Schema:
    """Whose tables they are; several owners may share one database.

    Args:
        owner: For messages, such as `the database of evaluations`.
        migrations: Folder of the files that make the tables, one a version.
        version_table: Where the version is kept.
        filled_by: The command that makes one and fills it, for messages.
    """

    owner: str
    migrations: Path
    version_table: str = "alembic_version"
    filled_by: str = ""


def open_database(url: str, schema: Schema, create: bool = True) -> sa.Engine:
    """Open a database, and bring its tables to this version of the tool.

    Args:
        url: As SQLAlchemy takes it, such as `sqlite:////path/file` or `postgresql://host/name`.
        schema: Whose tables.
        create: Whether it is made where it is not there; else nothing is made, no file and no table.

    Raises:
        DataError: It is not there, and is not to be made.
        UnavailableError: It cannot be opened, or is of a newer version of this tool.
    """
    with speaking(schema, url):
        if not create:
            _refuse_missing_file(with_driver(url), schema)
        engine = connect(url)
        try:
            _migrate(engine, schema, create)
        except BaseException:
            engine.dispose()
            raise
    return engine


def _refuse_missing_file(url: sa.URL, schema: Schema) -> None:
    """Refuse an SQLite file that is not there; SQLite itself would make an empty one.

    Raises:
        DataError: It is not there.
    """
    file = url.database or ":memory:"
    is_file = url.get_backend_name() == "sqlite" and file != ":memory:" and not file.startswith("file:")
    if is_file and not Path(file).is_file():
        raise DataError(
            "no such file",
            Path(file).absolute(),
            code="database-file-missing",
            hint=f"fill one with {schema.filled_by}",
        )


def connect(url: str, **options: Any) -> sa.Engine:
    """An engine whose connections are set up as this tool needs them; see open_database."""
    engine = sa.create_engine(with_driver(url), hide_parameters=True, **options)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _set_sqlite_up)
    return engine


def _has_tables(connection: sa.Connection, schema: Schema) -> bool:
    return sa.inspect(connection).has_table(schema.version_table)


def _begin_alone(connection: sa.Connection) -> None:
    """Let no other process migrate this database until the transaction ends."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('challenge bundle'))")


def lock_table(connection: sa.Connection, table: sa.Table) -> None:
    """Keep all others from changing a table until the transaction ends; they may read it.

    Args:
        connection: At the begin of a transaction. SQLite knows no lock but that of the whole database.
        table: Which.
    """
    if connection.dialect.name == "sqlite":
        # Its driver would begin at the first change, and what was read before could be of another state.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        name = connection.dialect.identifier_preparer.format_table(table)
        connection.exec_driver_sql(f"LOCK TABLE {name} IN EXCLUSIVE MODE")


def with_driver(url: str) -> sa.URL:
    """Take psycopg 3 for PostgreSQL, where SQLAlchemy by itself takes its forerunner."""
    try:
        made = sa.make_url(url)
        is_whole = "@" not in (made.host or "")
    except (ValueError, sa.exc.ArgumentError):
        # The faulty part may belong to the password, so it is not shown.
        is_whole = False
    if not is_whole:
        raise UnavailableError(
            f"the database's URL cannot be parsed; expected {_FORMS}",
            code="database-url-invalid",
            hint="in a password, write @ as %40, : as %3A, / as %2F and % as %25",
        )
    if made.get_backend_name() not in _KINDS:
        raise UnavailableError(
            f"expected a database's URL {_FORMS}, but got {made.drivername}://",
            code="database-url-invalid",
            hint="correct the URL",
        )
    return (
        made.set(drivername="postgresql+psycopg") if made.drivername in ("postgresql", "postgres") else made
    )


@contextmanager
def speaking(schema: Schema, url: str = "") -> Iterator[None]:
    """Turn the database's errors into the tool's.

    Args:
        schema: The tables in use.
        url: URL of the database; no message shows its password.

    Raises:
        UnavailableError: It does not answer, its disk is full, it is damaged, it holds other tables of the
            same names, or a package for it is not installed.
    """
    try:
        yield
    except sa.exc.DatabaseError as fault:
        cause = str(fault.orig).strip().splitlines()[0] if fault.orig else str(fault)
        cause = redact(cause, secrets_in(url))
        lacking = _NO_DATABASE.search(str(fault.orig))
        if lacking:
            raise UnavailableError(
                f"{schema.owner} cannot be used (its server has no database {lacking[1]!r})",
                code="database-missing",
                hint=f"create it (createdb {lacking[1]}), or correct its URL",
            ) from None
        raise UnavailableError(
            f"{schema.owner} cannot be used ({cause})",
            code="database-unusable",
            hint="start it, free some space, or correct its URL",
        ) from None
    except ModuleNotFoundError as fault:
        raise UnavailableError(
            f"the database's URL needs {fault.name}, which is not installed",
            code="database-driver-missing",
            hint=install_hint("postgresql"),
        ) from None


def _set_sqlite_up(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_WAIT_S * 1000}")
    _use_wal(cursor)
    # In WAL mode a record would survive a crash of this tool, but not always a power cut.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
    # PostgreSQL has it: with it both put rows into the same random order.
    connection.create_function("md5", 1, _md5, deterministic=True)


def _use_wal(cursor: Any) -> None:
    """Switch to WAL mode; SQLite does not wait for a lock there, so two that make a database would clash."""
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as fault:
            if "locked" not in str(fault) or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()


def _migrate(engine: sa.Engine, schema: Schema, create: bool) -> None:
    """Bring the tables to this version of the tool; refuse to make the first ones if they are not to be.

    Raises:
        DataError: There are none, and none are to be made.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    # A path may hold a space or a colon: it is the only one, so it is not split.
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(schema.migrations).replace("%", "%%"))
    head = ScriptDirectory.from_config(config).get_current_head()
    options = {"version_table": schema.version_table}
    with engine.connect() as connection:
        if MigrationContext.configure(connection, opts=options).get_current_revision() == head:
            return
    with engine.begin() as connection:
        if create or _has_tables(connection, schema):
            # All at once or not at all, and by one process: SQLite would make each table by itself.
            _begin_alone(connection)
        now = MigrationContext.configure(connection, opts=options).get_current_revision()
        if now == head:
            return
        if now is None and not create:
            where = engine.url.render_as_string(hide_password=True)
            raise DataError(
                f"does not hold {schema.owner}",
                where,
                code="database-empty",
                hint=f"fill it with {schema.filled_by}",
            )
        config.attributes["connection"] = connection
        config.attributes["version_table"] = schema.version_table
        try:
            command.upgrade(config, "head")
        except CommandError:
            raise UnavailableError(
                f"the database is of version {now}, which this version of the tool does not know",
                code="database-newer",
                hint="use the newer version of the tool",
            ) from None

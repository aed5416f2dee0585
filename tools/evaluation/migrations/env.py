"""Alembic's entry point: it is given a connection by `records`, and writes no file."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()

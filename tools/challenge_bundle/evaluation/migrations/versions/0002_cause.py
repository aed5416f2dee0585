"""Why a submission waits or was set aside, for the organiser."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column."""
    op.add_column("submission", sa.Column("cause", sa.Text))

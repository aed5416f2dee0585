"""What a submission is (a program or predictions alone), and whether it is a baseline of the organiser's."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns: what was taken in before is a participant's program."""
    op.add_column("submission", sa.Column("kind", sa.String(16), nullable=False, server_default="code"))
    op.add_column(
        "submission", sa.Column("is_baseline", sa.Boolean, nullable=False, server_default=sa.false())
    )

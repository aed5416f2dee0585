"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables; written out, for the code's own tables go on changing."""
    op.create_table(
        "submission",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("received", sa.String(20), nullable=False),
        sa.Column("file_name", sa.Text, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("verdict", sa.Text),
        sa.Column("results_sha256", sa.String(64)),
        sa.Column("probe", sa.Text),
    )
    op.create_table(
        "step",
        sa.Column("submission", sa.String(64), sa.ForeignKey("submission.id"), primary_key=True),
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
    )
    op.create_table(
        "score",
        sa.Column("submission", sa.String(64), sa.ForeignKey("submission.id"), primary_key=True),
        sa.Column("part", sa.String(16), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("is_current", sa.Boolean, nullable=False),
    )

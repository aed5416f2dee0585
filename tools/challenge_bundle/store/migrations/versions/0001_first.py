"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables; written out, for the code's own tables go on changing."""
    op.create_table(
        "license",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
    )
    op.create_table(
        "category",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("supercategory", sa.Text, nullable=False),
        sa.Column("is_street", sa.Boolean, nullable=False),
    )
    op.create_table(
        "image",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("format", sa.String(16), nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("group_name", sa.Text),
        sa.Column("split", sa.String(16)),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("taken", sa.Text),
        sa.Column("added", sa.String(20), nullable=False),
        sa.Column("license_id", sa.Integer, sa.ForeignKey("license.id")),
        sa.Column("path", sa.Text),
        sa.Column("data", sa.LargeBinary),
    )
    op.create_index("ix_image_origin", "image", ["origin"])
    op.create_index("ix_image_label", "image", ["label"])
    op.create_table(
        "annotation",
        sa.Column("id", _ID, primary_key=True, autoincrement=False),
        sa.Column("image_id", _ID, sa.ForeignKey("image.id"), nullable=False),
        sa.Column("category_id", sa.Integer, sa.ForeignKey("category.id"), nullable=False),
        sa.Column("left_px", sa.Float, nullable=False),
        sa.Column("top_px", sa.Float, nullable=False),
        sa.Column("width_px", sa.Float, nullable=False),
        sa.Column("height_px", sa.Float, nullable=False),
        sa.Column("area_px", sa.Float, nullable=False),
        sa.Column("is_crowd", sa.Boolean, nullable=False),
    )
    op.create_index("ix_annotation_image_id", "annotation", ["image_id"])
    op.create_index("ix_annotation_category_id", "annotation", ["category_id"])

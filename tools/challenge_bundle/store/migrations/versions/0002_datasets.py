"""Ids of annotations files belong to a data set; what was stored before is of the data set `unnamed`."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the data sets, and move the annotations into a table that has them."""
    op.create_table(
        "dataset",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("file_sha256", sa.String(64)),
    )
    op.create_table(
        "dataset_image",
        sa.Column("dataset_id", sa.Integer, sa.ForeignKey("dataset.id"), primary_key=True),
        sa.Column("image_id", _ID, sa.ForeignKey("image.id"), primary_key=True),
        sa.Column("license_id", sa.Integer, sa.ForeignKey("license.id")),
    )
    op.create_index("ix_dataset_image_image_id", "dataset_image", ["image_id"])
    op.create_table(
        "annotation_of_dataset",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("dataset_id", sa.Integer, sa.ForeignKey("dataset.id"), nullable=False),
        sa.Column("source_id", sa.Text, nullable=False),
        sa.Column("image_id", _ID, sa.ForeignKey("image.id"), nullable=False),
        sa.Column("category_id", sa.Integer, sa.ForeignKey("category.id"), nullable=False),
        sa.Column("left_px", sa.Float),
        sa.Column("top_px", sa.Float),
        sa.Column("width_px", sa.Float),
        sa.Column("height_px", sa.Float),
        sa.Column("area_px", sa.Float),
        sa.Column("is_crowd", sa.Boolean, nullable=False),
        sa.UniqueConstraint("dataset_id", "source_id", name="uq_annotation_source_id"),
    )
    _move_annotations()
    op.drop_table("annotation")
    op.rename_table("annotation_of_dataset", "annotation")
    op.create_index("ix_annotation_image_id", "annotation", ["image_id"])
    op.create_index("ix_annotation_category_id", "annotation", ["category_id"])
    _join_duplicates("category", "supercategory", "annotation", "category_id")
    _join_duplicates("license", "url", "image", "license_id")


def _move_annotations() -> None:
    op.execute("insert into dataset (name) select 'unnamed' where exists (select 1 from annotation)")
    kept = "image_id, category_id, left_px, top_px, width_px, height_px, area_px, is_crowd"
    op.execute(
        f"insert into annotation_of_dataset (dataset_id, source_id, {kept})"
        f" select dataset.id, cast(annotation.id as text), {kept} from annotation, dataset"
        " order by annotation.id"
    )


def _join_duplicates(table: str, detail: str, user: str, key: str) -> None:
    """From now on these are known by what they say, not by a file's id."""
    first = f"select min(other.id) from {table} other where other.name = {table}.name"
    first += f" and other.{detail} = {table}.{detail}"
    op.execute(
        f"update {user} set {key} = (select ({first}) from {table} where {table}.id = {user}.{key})"
        f" where {key} in (select id from {table} where id <> ({first}))"
    )
    op.execute(f"delete from {table} where id <> ({first})")

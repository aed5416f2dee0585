"""The tables of the image database."""

from pathlib import Path

import sqlalchemy as sa

from challenge_bundle.database.connect import Schema

SCHEMA = Schema(
    "the image database",
    Path(__file__).parent / "migrations" / "versions",
    version_table="store_version",
    filled_by="`store ingest`",
)

METADATA = sa.MetaData()

# SQLite counts only a plain INTEGER up by itself.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

UNNAMED = "unnamed"
"""The data set of annotations from a version of the tool that knew no data sets."""

DATASETS = sa.Table(
    "dataset",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("file_sha256", sa.String(64)),
)

LICENSES = sa.Table(
    "license",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
)

CATEGORIES = sa.Table(
    "category",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("supercategory", sa.Text, nullable=False),
    sa.Column("is_street", sa.Boolean, nullable=False),
)

IMAGES = sa.Table(
    "image",
    METADATA,
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
    sa.Index("ix_image_origin", "origin"),
    sa.Index("ix_image_label", "label"),
)

DATASET_IMAGES = sa.Table(
    "dataset_image",
    METADATA,
    sa.Column("dataset_id", sa.Integer, sa.ForeignKey("dataset.id"), primary_key=True),
    sa.Column("image_id", _ID, sa.ForeignKey("image.id"), primary_key=True),
    sa.Column("license_id", sa.Integer, sa.ForeignKey("license.id")),
    sa.Index("ix_dataset_image_image_id", "image_id"),
)
"""The images of a data set, and the licence that it gives each."""

ANNOTATIONS = sa.Table(
    "annotation",
    METADATA,
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
    sa.Index("ix_annotation_image_id", "image_id"),
    sa.Index("ix_annotation_category_id", "category_id"),
)
"""`source_id` is the annotation's id in its data set's own file; categories are known by their names."""

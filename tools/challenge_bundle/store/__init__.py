"""The image database."""

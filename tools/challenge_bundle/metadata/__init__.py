"""Metadata of image files: detected, and removed."""

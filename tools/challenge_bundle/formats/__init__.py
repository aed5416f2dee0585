"""Readers of the files that cross a boundary; each turns a foreign document into a dataclass."""

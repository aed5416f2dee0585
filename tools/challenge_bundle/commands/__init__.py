"""The commands, by who uses them: each parses, calls one function, prints. `bundle.py` puts them together."""

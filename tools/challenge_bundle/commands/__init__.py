"""The commands, by who uses them: each parses, calls one function, prints. `cli.py` puts them together."""

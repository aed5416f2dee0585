"""How a program is run: as a container or as a plain process."""

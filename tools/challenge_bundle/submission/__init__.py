"""A submission: packing it, checking it, unpacking what others sent."""

"""What participants get of a challenge."""

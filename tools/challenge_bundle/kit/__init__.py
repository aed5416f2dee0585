"""The participant kit: what an organiser hands out of a challenge."""

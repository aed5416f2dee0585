"""Opening databases, for all that keeps something in one."""

"""The three programs as data, running one, and what a run leaves behind."""

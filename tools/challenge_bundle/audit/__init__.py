"""What is wrong with a data set: copies, leaks, shifts, and what a trivial method scores on it."""

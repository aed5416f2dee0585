"""What is wrong with a data set: duplicates, label leakage, shifts, and what trivial methods score on it."""

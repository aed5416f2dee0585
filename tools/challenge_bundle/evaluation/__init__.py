"""Many entries to one challenge: who ranks where, and how sure that is."""

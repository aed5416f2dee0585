"""The tool around the three programs: fills their input, runs them, packs, checks and reports."""

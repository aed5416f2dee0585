"""Turn a medical-imaging data set into a challenge: the tool around the three programs, and its library."""

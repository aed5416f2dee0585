"""HTML pages of a model, a data set's audit and a leaderboard, with the same as csv and JSON."""

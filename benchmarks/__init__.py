"""Each workload compared with a peer, as a ratio of times."""

"""Each workload beside a peer, as a ratio of times."""

"""From scores to a page a person looks at."""

"""People look at a masked set: a sample, what they decide on it, and what that says of the whole set."""

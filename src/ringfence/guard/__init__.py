"""The replay guard: a keyed filter of a training set's n-grams, and what looks at an answer through it."""

"""Operators: what stands in a text instead of what was found. One file each."""

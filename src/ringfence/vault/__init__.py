"""Bytes at rest: keys (host only), the object format (opens with a data key alone), the folders that hold objects."""

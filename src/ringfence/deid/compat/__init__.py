"""Other tools at the edges: what they have runs here, and we run in them."""

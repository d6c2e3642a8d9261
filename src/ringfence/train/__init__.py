"""Training: methods × objectives over one loop. Only `settings`, `adapter` and `device` are light; the rest runs in the sandbox."""

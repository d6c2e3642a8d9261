"""The commands below `ringfence deid`: one module each, with `ORDER` and `register(group)`."""

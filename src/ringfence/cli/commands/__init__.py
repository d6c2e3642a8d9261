"""One file per command; every module with a `register(app)` is a command."""

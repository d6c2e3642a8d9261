"""Answering: the engine runs in the sandbox, the front holds no weights."""

"""Fine-tune language models on private records inside your own boundary, and prove it."""

__version__ = "0.1.0"

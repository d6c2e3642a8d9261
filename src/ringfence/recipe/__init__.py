"""Recipes: LLaMA-Factory's YAML, every key used, noted or refused; nothing dropped silently."""

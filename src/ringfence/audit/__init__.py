"""Audit: canaries, attacks and the statistics that turn their scores into bounds. `settings`, `statistics` and `register` are light."""

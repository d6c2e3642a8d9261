"""Looking for poisoned rows before training. Detectors are parts; the child half is `job.py`."""

"""Objectives: what is minimised. One file each."""

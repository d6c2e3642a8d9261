"""Invented clinic notes in Chinese and English, with labelled identifiers: what the demo and the tests run on."""

"""Taggers: models that find names where no pattern can. One file each."""

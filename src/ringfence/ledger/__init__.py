"""What happened and who signed it: a Merkle log on disk, signed checkpoints, DSSE envelopes."""

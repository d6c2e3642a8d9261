"""Methods: what is trained. One file each."""

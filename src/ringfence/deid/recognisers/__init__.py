"""One file a recogniser; being in this folder registers it."""

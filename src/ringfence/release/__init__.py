"""What leaves: bundles written, signed and verified. A verifier needs no workspace and no model library."""

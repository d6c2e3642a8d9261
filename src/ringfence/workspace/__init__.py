"""An opened workspace: names, manifests, locks, the commit of an arrow, and what repairs a crash."""

"""Where a job runs: a process without a network, tested from outside and inside before it is told anything."""

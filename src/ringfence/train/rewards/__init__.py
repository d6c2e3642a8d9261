"""Rewards, one a file: what an answer is worth to a run of GRPO or RLOO. Light: the host looks their names up."""

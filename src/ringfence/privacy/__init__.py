"""Differential privacy: plan, accountant, sampler, clip, noise. Only `plan` is light; nothing here reads records or writes anywhere."""

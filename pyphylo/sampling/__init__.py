"""Sampling: the Sampler protocol, the registry of backends, and the scheduler."""

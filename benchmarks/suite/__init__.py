"""The asv suite: times and peak memory over the history."""

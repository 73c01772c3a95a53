"""Commands that are killed, starved and lied to; see `python -m tests.faults --help`."""

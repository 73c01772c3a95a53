"""Errors that name the value, the place and the remedy.

The command line turns each into one line on stderr: `InputError` ends with
exit code 2 (the call was wrong), every other `PyphyloError` with 1 (the work failed).
"""

__all__ = ["FileFormatError", "InputError", "PyphyloError", "PyphyloWarning", "WorkError"]


class PyphyloError(Exception):
    """Base of every error that pyphylo raises on purpose."""


class InputError(PyphyloError, ValueError):
    """What the caller passed cannot be used: an argument, a name, a file's content."""


class FileFormatError(InputError):
    """A file is not what its reader expects: foreign, truncated, damaged or malformed."""


class WorkError(PyphyloError, RuntimeError):
    """Work that was asked for rightly could not be finished."""


class PyphyloWarning(UserWarning):
    """Something in the data limits a result; the text names the models or genes."""

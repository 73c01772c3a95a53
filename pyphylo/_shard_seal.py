"""The seal of a shard's file: two digests by which any byte that changed is told.

A reader of Parquet finds the footer from the end of the file and the columns by their places;
what lies between the two nobody looks at. There a shard has its seal::

    columns | 8 bytes that name it | SHA-256 of all before it | SHA-256 of the rest | footer

The rest is the seal up to there and the footer, with its length and the format's name. So the
end of the file alone tells whether the footer is whole, and any Parquet reader reads the file.
"""

from __future__ import annotations

import hashlib

__all__ = ["BROKEN", "SEAL_BYTES", "footer_bytes", "is_sealed", "is_whole", "sealed"]

_NAME = b"PhyloSl1"
_DIGEST = hashlib.sha256().digest_size
_END = 8
"""The footer's length in 4 bytes, and the format's name."""
SEAL_BYTES = len(_NAME) + 2 * _DIGEST
BROKEN = "its bytes are not those that were written"


def footer_bytes(data: bytes) -> int | None:
    """Length of the footer with its end; None where the bytes do not end as Parquet does."""
    return int.from_bytes(data[-8:-4], "little") + _END if data[-4:] == b"PAR1" else None


def sealed(data: bytes) -> bytes:
    """A Parquet file with a seal."""
    place = len(data) - (footer_bytes(data) or 0)
    columns, footer = data[:place], data[place:]
    head = _NAME + hashlib.sha256(columns).digest()
    return b"".join([columns, head, hashlib.sha256(head + footer).digest(), footer])


def is_sealed(data: bytes) -> bool:
    """Whether a file, or its end, has a seal."""
    return _place(data) is not None


def is_whole(data: bytes, *, ends_only: bool = False) -> bool:
    """Whether a sealed file is as it was written, or, of its end, the footer is."""
    place = _place(data)
    if place is None:
        return False
    head, rest = data[place : place + SEAL_BYTES - _DIGEST], data[place + SEAL_BYTES :]
    if hashlib.sha256(head + rest).digest() != data[place + len(head) : place + SEAL_BYTES]:
        return False
    columns = memoryview(data)[:place]
    return ends_only or hashlib.sha256(columns).digest() == head[len(_NAME) :]


def _place(data: bytes) -> int | None:
    """Where the seal begins."""
    place = len(data) - (footer_bytes(data) or 0) - SEAL_BYTES
    return place if place >= 0 and data[place : place + len(_NAME)] == _NAME else None

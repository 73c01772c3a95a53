"""Public names, parameters, defaults, commands and options change on purpose only."""

from __future__ import annotations

import difflib
import re

from api_snapshot import MODULES, SNAPSHOT, snapshot

import pyphylo as pp


def test_the_public_interface_is_the_one_that_was_agreed():
    agreed, now = SNAPSHOT.read_text(encoding="utf-8"), snapshot()
    difference = "\n".join(
        difflib.unified_diff(
            agreed.splitlines(), now.splitlines(), "agreed", "now", lineterm="", n=1
        )
    )
    assert not difference, (
        f"the public interface changed:\n{difference}\n"
        "If that is meant, say so in CHANGELOG.md (what is taken away or renamed needs a major "
        "version, what is added a minor one) and run: python tests/api_snapshot.py"
    )


def test_the_snapshot_has_every_public_name():
    text = SNAPSHOT.read_text(encoding="utf-8")
    first = text.split("\n\n")[0]
    for name in pp.__all__:
        assert re.search(rf"^  (class )?{name}\b", first, re.M), name
    for module in MODULES:
        assert f"module {module}\n" in text


def test_the_snapshot_holds_nothing_of_this_machine():
    """No addresses, paths or versions: it is the same on every Python and every machine."""
    text = SNAPSHOT.read_text(encoding="utf-8")
    assert not re.search(r"0x[0-9a-f]{6}|/home|/tmp|<class|<function \w", text)

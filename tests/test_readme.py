"""What the README shows, works."""

from __future__ import annotations

import re
from pathlib import Path

from pyphylo.cli import _COMMANDS

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.S)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102
    newick = capsys.readouterr().out
    assert newick.count("a:") == newick.count("b:") == newick.count("c:") == 1


def test_commands_shown_exist():
    shown = set(re.findall(r"^pyphylo (\w+)|&& pyphylo (\w+)", README, re.M))
    assert {a or b for a, b in shown} <= set(_COMMANDS)


def test_both_install_commands_name_the_constraints():
    installs = re.findall(r"^pip install .*$", README, re.M)
    assert len(installs) == 2
    assert all("-c constraints.txt" in line for line in installs)


def test_the_citation_is_of_this_version():
    import yaml

    from pyphylo import __version__

    text = (Path(__file__).parent.parent / "CITATION.cff").read_text(encoding="utf-8")
    entry = yaml.safe_load(text)
    assert {"cff-version", "message", "title", "authors"} <= set(entry)
    assert entry["version"] == __version__
    assert all(reference["url"] in README for reference in entry["references"])

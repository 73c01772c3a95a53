"""What the pages in docs show is what happens: their examples are run, in a temporary folder."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
from pathlib import Path

import pytest

from pyphylo.cli import main

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PAGES = {path.stem: BLOCK.findall(path.read_text(encoding="utf-8")) for path in DOCS.glob("*.md")}


def commands(text):
    """Each command line with what is shown below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, shown = part.partition("\n")
        yield line, shown


def run(line):
    """Exit code and output, of pyphylo itself or of a file that is shown."""
    name, *words = shlex.split(line)
    if name == "cat":
        return 0, "".join(Path(word).read_text(encoding="utf-8") for word in words)
    if name == "head":
        option, file = words
        lines = Path(file).read_text(encoding="utf-8").splitlines(keepends=True)
        return 0, "".join(lines[: int(option.lstrip("-n"))])
    assert name == "pyphylo"
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = main(words)
    return code, out.getvalue()


@pytest.mark.parametrize("page", [name for name, blocks in PAGES.items() if blocks])
def test_examples(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checker, known, wrong = doctest.OutputChecker(), {}, io.StringIO()
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for number, (kind, text) in enumerate(PAGES[page]):
        if kind == "python":
            where = f"{page}.md, block {number}"
            examples = doctest.DocTestParser().get_doctest(text, known, where, None, None)
            examples.globs = known  # blocks of a page go on from each other
            assert runner.run(examples, out=wrong.write, clear_globs=False).attempted
            continue
        for line, shown in commands(text):
            code, found = run(line)
            assert checker.check_output(shown, found, FLAGS), f"$ {line}\n{found}"
            assert (code != 0) == ("pyphylo: error:" in shown), line
    assert not wrong.getvalue(), wrong.getvalue()


def test_pages_are_linked_and_their_links_lead_somewhere():
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    for path in DOCS.glob("*.md"):
        assert f"docs/{path.name}" in readme, path.name
        for link in re.findall(r"\]\(([\w/.-]+\.md)\)", path.read_text(encoding="utf-8")):
            assert (DOCS / link).exists(), f"{path.name}: {link}"

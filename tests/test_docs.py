"""What the pages in docs show is what happens: their examples are run, in a temporary folder."""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pyphylo.cli import build_parser, main

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
README = DOCS.parent / "README.md"
NOTEBOOKS = {
    path.stem: [
        (cell["cell_type"], "".join(cell["source"]))
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    ]
    for path in (DOCS / "notebooks").glob("*.ipynb")
}
PAGES = {path.stem: BLOCK.findall(path.read_text(encoding="utf-8")) for path in DOCS.glob("*.md")}


def commands(text):
    """Each command line with what is shown below it."""
    text = re.sub(r" \\\n +", " ", text)  # a line that goes on in the next
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


@pytest.mark.parametrize(
    "page", [name for name, blocks in PAGES.items() if blocks and name != "tutorial"]
)
def test_examples(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_page(page)


def test_the_tutorial(tmp_path, monkeypatch):
    """Its first command trains for minutes: here it finds that it was done, in a copy."""
    demo = os.environ.get("PYPHYLO_DEMO")
    if not demo or not Path(demo, "run.json").exists():
        pytest.skip("PYPHYLO_DEMO names no folder that `pyphylo demo` made")
    shutil.copytree(demo, tmp_path / "demo")
    monkeypatch.chdir(tmp_path)
    check_page("tutorial", as_outline)


def test_what_the_readme_shows_on_the_tutorials_demo(tmp_path, monkeypatch):
    demo = os.environ.get("PYPHYLO_DEMO")
    if not demo or not Path(demo, "run.json").exists():
        pytest.skip("PYPHYLO_DEMO names no folder that `pyphylo demo` made")
    shutil.copytree(demo, tmp_path / "demo")
    monkeypatch.chdir(tmp_path)
    typed = [line for name, line in TYPED if name == "README.md" and "demo/" in line]
    assert len(typed) == 6
    for line in typed:
        code, found = run(line.partition(" # ")[0])
        assert code == 0, f"$ {line}\n{found}"
        assert "warning" not in found, f"$ {line}\n{found}"


def test_the_tutorials_commands_can_be_typed():
    shown = [
        line for kind, text in PAGES["tutorial"] if kind == "console" for line, _ in commands(text)
    ]
    assert shown[0] == "pyphylo demo --out demo"
    for line in shown:
        name, *words = shlex.split(line)
        assert name == "head" or build_parser().parse_args(words).run


def as_shown(shown, found):
    return doctest.OutputChecker().check_output(shown, found, FLAGS)


def as_outline(shown, found):
    """Whether all lines are there in this order: numbers, tips and drawn trees may be others.

    Training rounds otherwise on another machine, and all that follows with it.
    """
    rest = iter(outline(found))
    return all(line in rest for line in outline(shown))


def outline(text):
    text = re.sub(r"^.*(?:[/|\\+]-|-[\\+]).*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r'"prompt": ".*', '"prompt"', text)
    text = re.sub(r"(?:(?:prose|code|dates|characters)-[a-z]+-\d(?:, )?)+", "TIPS", text)
    text = re.sub(r"\d+(?:\.\d+)?(?:e-\d+)?", "#", text)
    lines = (" ".join(line.split()) for line in text.splitlines())
    return [line for line in lines if line not in {"", "..."}]


def test_the_outline_of_an_output_can_be_wrong():
    shown = "2 models:\nprose-help-1  0.5\n...\n"
    assert as_outline(shown, "3 models:\n\ncode-syntax-2   1e-9\nmore\n")
    for found in ("prose-help-1 0.5\n2 models:\n", "2 models:\nbase 0.5\n", "2 models:\n", ""):
        assert not as_outline(shown, found)


SHELL = re.compile(r"^ *```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
TEXTS = [(path.name, path.read_text(encoding="utf-8")) for path in [README, *DOCS.glob("*.md")]]
TEXTS += [(name, f"{said}\n") for name, cells in NOTEBOOKS.items() for _, said in cells]
TYPED = [
    (name, line.strip())
    for name, text in sorted(TEXTS)
    for block in SHELL.findall(text)
    for line in re.split(r"\n|&&", re.sub(r" \\\n +", " ", block))
    if line.strip().startswith("pyphylo ")
]


@pytest.mark.parametrize(("page", "line"), TYPED)
def test_commands_that_are_not_run_can_be_typed(page, line):
    words = shlex.split(line, comments=True)[1:]
    end = next((i for i, word in enumerate(words) if word in {"|", ">"}), len(words))
    assert build_parser().parse_args(words[:end]).run


def check_page(page, agrees=as_shown):
    known, wrong = {}, io.StringIO()
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
            assert agrees(shown, found), f"$ {line}\n{found}"
            assert (code != 0) == ("pyphylo: error:" in shown), line
    assert not wrong.getvalue(), wrong.getvalue()


def test_pages_are_listed_and_their_links_lead_somewhere():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    trees = "\n".join(re.findall(r"{toctree}(.*?)```", index, re.S))
    listed = re.findall(r"^[a-z/]+$", trees, re.M)
    notebooks = [f"notebooks/{name}" for name in NOTEBOOKS]
    assert sorted([*listed, "index"]) == sorted([*PAGES, *notebooks])
    texts = {path: path.read_text(encoding="utf-8") for path in [README, *DOCS.glob("*.md")]}
    for name, cells in NOTEBOOKS.items():
        texts[DOCS / "notebooks" / name] = "\n".join(said for kind, said in cells if kind != "code")
    for path, text in texts.items():
        for link, part in re.findall(r"\]\(([\w/.-]*)(?:#([\w-]+))?\)", text):
            to = path.parent / link if link else path
            assert to.exists(), f"{path.name}: {link}"
            assert not part or part in anchors(texts[to.resolve()]), f"{path.name}: {link}#{part}"


def anchors(text):
    """What a repository's viewer, and the site, call the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return {
        re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.M)
    }


def test_notebooks_are_kept_as_they_were_before_they_were_run():
    for path in (DOCS / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs"), path.name
            assert cell.get("execution_count") is None, path.name


def test_every_public_name_is_in_the_reference():
    import pyphylo

    named = set(re.findall(r"^   (\w+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.M))
    assert set(pyphylo.__all__) - named == {"__version__", "simulate", "stats"}


@pytest.mark.slow
def test_the_pages_build_without_warnings(tmp_path):
    for module in ("sphinx", "myst_nb", "ipykernel", "furo", "numpydoc", "sphinx_copybutton"):
        pytest.importorskip(module, reason=f"{module} is not installed: pyphylo[docs]")
    left = shutil.ignore_patterns("generated", ".ipynb_checkpoints", "jupyter_execute")
    shutil.copytree(DOCS, tmp_path / "docs", ignore=left)
    build = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "html",
        "docs",
        "html",
    ]
    paths = os.pathsep.join(filter(None, [str(DOCS.parent), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        build, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    assert done.returncode == 0, done.stderr  # kernels of notebooks have words of their own
    html = (tmp_path / "html" / "generated" / "pyphylo.Tree.html").read_text(encoding="utf-8")
    assert "robinson_foulds" in html
    help_page = (tmp_path / "html" / "commands.html").read_text(encoding="utf-8")
    assert "usage: pyphylo genes build" in help_page
    for name, figures in {"family": 2, "scores": 0, "checkpoints": 1}.items():
        page = (tmp_path / "html" / "notebooks" / f"{name}.html").read_text(encoding="utf-8")
        assert page.count('role="img" width=') == figures  # trees, drawn into the page
        assert page.count("../_images/") >= 1

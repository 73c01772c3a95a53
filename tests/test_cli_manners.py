"""Help with examples that can be typed, close words for a misspelt one, and completion."""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys

import pytest

from pyphylo._names import did_you_mean
from pyphylo.cli import build_parser, main


def leaves(parser):
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not inner:
        return [parser]
    return [leaf for child in inner[0].choices.values() for leaf in leaves(child)]


def examples(parser):
    """Command lines of a parser's epilog, without what is said behind them or around them."""
    lines = parser.epilog.removeprefix("examples:").removeprefix("example:").strip().splitlines()
    return [shlex.split(line.strip()) for line in lines]


@pytest.mark.parametrize("parser", leaves(build_parser()), ids=lambda parser: parser.prog)
def test_help_has_examples_that_are_right(parser):
    assert parser.description or parser.prog in {"pyphylo genes show", "pyphylo genes list"}
    assert all(line in parser.format_help() for line in parser.epilog.splitlines())
    if parser.prog == "pyphylo completion":
        assert parser.epilog.count("pyphylo completion ") == 3
        return
    command = parser.prog.split()
    for words in examples(parser):
        assert words[: len(command)] == command
        assert parser.parse_args(words[len(command) :]).run


def test_examples_of_the_whole_are_right():
    shown = [line.strip().split("  ")[0] for line in build_parser().epilog.splitlines()[1:]]
    for line in shown[:-1]:
        assert build_parser().parse_args(shlex.split(line)[1:]).run
    assert shown[-1] == "pyphylo tree --help"


@pytest.mark.parametrize(
    ("argv", "usage", "close"),
    [
        ("tre", "usage: pyphylo [-h]", "did you mean 'tree'?"),
        ("Distance", "usage: pyphylo [-h]", "did you mean 'distance'?"),
        ("genes biuld", "usage: pyphylo genes [-h]", "did you mean 'build'?"),
        ("tree d.npz -o t.nwk --metdata m", "usage: pyphylo tree", "did you mean '--metadata'"),
        ("tree d.npz -o t.nwk --metdata=m", "usage: pyphylo tree", "did you mean '--metadata'"),
        ("tree d.npz -o t.nwk --method upmga", "usage: pyphylo tree", "did you mean 'upgma'?"),
        ("demo --versoin", "usage: pyphylo demo", "unrecognized arguments: --versoin"),
        ("info one two", "usage: pyphylo info", "unrecognized arguments: two"),
    ],
)
def test_misspelt_words(capsys, argv, usage, close):
    with pytest.raises(SystemExit) as stop:
        main(argv.split())
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert err.startswith(usage)
    assert close in err.splitlines()[-1]


def test_nothing_close_is_not_guessed(capsys):
    with pytest.raises(SystemExit):
        main(["xyzzy"])
    assert "did you mean" not in capsys.readouterr().err


def test_close_names():
    assert did_you_mean("GPT2", ["gpt2", "llama"]) == "; did you mean 'gpt2'?"
    assert did_you_mean("gpt2", ["GPT2", "Gpt2", "gpt-2", "gpt3"]).count("'") == 6
    assert did_you_mean("a", []) == did_you_mean(None, ["None"]) == did_you_mean(7, ["7"]) == ""


def test_models_and_columns(capsys, tmp_path):
    from pyphylo import DistanceMatrix

    DistanceMatrix([[0, 1, 4], [1, 0, 4], [4, 4, 0]], ["gpt2", "opt", "bloom"]).save(
        tmp_path / "d.csv"
    )
    scores, metadata = tmp_path / "s.csv", tmp_path / "m.csv"
    scores.write_text("model,arc\ngpt2,1\nopt,2\nbloom,3\n")
    metadata.write_text("model,family\ngpt2,a\nopt,b\nbloom,c\n")
    predict = ["predict", tmp_path / "d.csv", "--scores", scores, "-o", tmp_path / "p.csv"]
    for argv, close in [
        (["tree", tmp_path / "d.csv", "-o", tmp_path / "t.nwk", "--root", "Gpt2"], "'gpt2'"),
        ([*predict, "--target", "acr"], "'arc'"),
        ([*predict, "--metadata", metadata, "--groups", "familly"], "'family'"),
    ]:
        assert main([str(word) for word in argv]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert f"did you mean {close}?" in err


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (
            "Model,family",
            "error: {}: the first line names no column 'model'; did you mean 'Model'?",
        ),
        ("model,Family", "warning: {} has no column 'family'; did you mean 'Family'?"),
        ("model,famly,x", "warning: {} has no column 'family'; did you mean 'famly'?"),
        ("model,base_model", None),
    ],
)
def test_columns_of_metadata(capsys, tmp_path, header, said):
    from pyphylo import DistanceMatrix

    DistanceMatrix([[0, 1], [1, 0]], ["a", "b"]).save(tmp_path / "d.csv")
    metadata = tmp_path / "m.csv"
    width = header.count(",")
    metadata.write_text(f"{header}\na{',x' * width}\nb{',x' * width}\n")
    argv = ["tree", "d.csv", "-o", "t.nwk", "--no-pictures", "--metadata", "m.csv"]
    code = main([str(tmp_path / word) if "." in word else word for word in argv])
    err = capsys.readouterr().err
    assert err == ("" if said is None else f"pyphylo: {said.format(repr(str(metadata)))}\n")
    assert code == (2 if "error" in err else 0)


# Completion


@pytest.fixture(params=["bash", "zsh", "fish"])
def script(request, capsys):
    pytest.importorskip("shtab", reason="shtab is not installed: pyphylo[completion]")
    assert main(["completion", request.param]) == 0
    return request.param, capsys.readouterr().out


def test_completion_scripts_parse(script, tmp_path):
    shell, text = script
    for parser in leaves(build_parser()):
        assert parser.prog.split()[-1] in text
    assert "metadata" in text
    assert "Join neighbours into a tree" not in text  # commands are described by one short line
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / "script"
    path.write_text(text, encoding="utf-8")
    done = subprocess.run([shell, "-n", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_bash_completes(tmp_path, capsys):
    pytest.importorskip("shtab", reason="shtab is not installed: pyphylo[completion]")
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    main(["completion", "bash"])
    (tmp_path / "script").write_text(capsys.readouterr().out)
    (tmp_path / "distances.npz").touch()

    def completed(*words):
        program = (
            f"source {shlex.quote(str(tmp_path / 'script'))}\n"
            f"COMP_WORDS=(pyphylo {shlex.join(words[:-1])} {shlex.quote(words[-1])})\n"
            f"COMP_CWORD={len(words)}\n"
            '_shtab_pyphylo 2>/dev/null\nprintf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(
            ["bash", "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        return set(done.stdout.split())

    assert completed("tr") == {"tree", "trajectory"}
    assert "--metadata" in completed("tree", "--me")
    assert completed("tree", "--method", "b") == {"bionj", "bme"}
    assert completed("tree", "dist") == {"distances.npz"}


def test_without_shtab_the_remedy_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert "pip install 'pyphylo[completion]'" in capsys.readouterr().err

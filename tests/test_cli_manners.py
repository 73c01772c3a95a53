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
    assert all(action.help for action in parser._actions)
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


@pytest.mark.parametrize("argv", [[], ["genes"], ["bench"]])
def test_without_a_command_there_is_the_list(capsys, argv):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    inner = leaves(build_parser())
    expected = [p.prog.split()[-1] for p in inner if p.prog.split()[1:-1] == argv]
    assert expected
    assert all(f"    {name}" in err for name in expected)


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


@pytest.mark.parametrize(
    ("typed", "ends"),
    [
        ("pyphylo distil", "pyphylo distilled"),
        ("pyphylo genes bu", "pyphylo genes build"),
        ("pyphylo tree --meta", "pyphylo tree --metadata"),
        ("pyphylo tree --method bi", "pyphylo tree --method bionj"),
        ("pyphylo tree dist", "pyphylo tree distances.npz"),
        ("pyphylo distance sto", "pyphylo distance store/"),
    ],
)
def test_the_tab_key(script, typed, ends, tmp_path):
    """What the line is after the Tab key was pressed in the shell itself."""
    shell, text = script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "script").write_text(text, encoding="utf-8")
    (tmp_path / "distances.npz").touch()
    (tmp_path / "store").mkdir()
    if shell == "fish":
        line = f"source ./script; complete -C {shlex.quote(typed)}"
        done = subprocess.run(
            ["fish", "-N", "-c", line], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        (found,) = done.stdout.splitlines()
        assert found.split("\t")[0] == ends.split()[-1]
        return
    assert tabbed(shell, typed, tmp_path).rstrip() == ends


SHELLS = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        "source ./script; "
        "show() { printf '%s' \"$READLINE_LINE\" > line.part; mv line.part line; }; "
        "bind -x '\"\\C-t\": show'",
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        'autoload -Uz compinit && compinit -u -D; eval "$(cat script)"; '
        "show() { print -rn -- $BUFFER > line.part; mv line.part line }; "
        "zle -N show; bindkey '^T' show; bindkey '^I' complete-word",
    ),
}
"""How to start the shell, and what makes it write its line to a file at Control-T."""


@pytest.mark.skipif(sys.platform == "win32", reason="closed as a POSIX shell closes them")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_take_nothing_from_the_work(tmp_path, closed):
    line = f"exec {shlex.quote(sys.executable)} -m pyphylo"
    (tmp_path / "c.jsonl").write_text(
        "".join(f'{{"model": "{m}", "gene": "g", "completion": "abcd"}}\n' for m in "ab")
    )
    for words, code in (
        ("import c.jsonl --store store", 0),
        ("distance store -o d.csv", 0),
        ("import none.jsonl --store store", 2),
    ):
        done = subprocess.run(
            ["/bin/sh", "-c", f"{line} {words} {closed}"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == code
        assert "Traceback" not in done.stderr
        assert "error" not in done.stdout
    assert (tmp_path / "d.csv").read_text() == "model,a,b\na,0.0,0.0\nb,0.0,0.0\n"


def tabbed(shell, typed, folder):
    """The line of an interactive shell in a terminal."""
    import os
    import pty
    import select
    import time

    argv, settings = SHELLS[shell]
    master, slave = pty.openpty()
    variables = {**os.environ, "TERM": "dumb", "PS1": "> ", "HOME": str(folder)}
    process = subprocess.Popen(
        argv,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=folder,
        env=variables,
        start_new_session=True,
    )
    os.close(slave)
    shown, end = b"", time.monotonic() + 60
    try:
        os.write(master, f"{settings}; printf '%s' re; echo ady\n".encode())
        sent = False
        while not (folder / "line").exists():
            assert time.monotonic() < end, shown.decode(errors="replace")
            if select.select([master], [], [], 0.05)[0]:
                shown += os.read(master, 4096)
            if not sent and b"> " in shown.partition(b"ready")[2]:  # the prompt after it
                os.write(master, f"{typed}\t\x14".encode())
                sent = True
    finally:
        process.kill()
        process.wait()
        os.close(master)
    return (folder / "line").read_text(encoding="utf-8")


def test_without_shtab_the_remedy_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert "pip install 'pyphylo[completion]'" in capsys.readouterr().err

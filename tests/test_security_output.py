"""Nothing hostile reaches a terminal, and no secret reaches anything."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import time
import traceback
import warnings
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo._secrets import hide, hide_key, hide_key_in_data
from pyphylo._terminal import json_shown, shown
from pyphylo.cli import main
from pyphylo.io.completions import import_completions

# -- the terminal --------------------------------------------------------------------------------

FORGED = "pyphylo: error: all is well"
HOSTILE = [
    "\x1b]0;title\x07a", "b\x1b[2J\x1b[1;31m", "c\x9b31m\x85", "d\u202egnp\u2066", f"e\n{FORGED}",
    f"f\r{FORGED}", "g\u2028x\u2029", "h\x7f\x00\x08", "i\ufeff\u200b\U000e0041", "é 漢字 عربي",
    "=HYPERLINK(1)", "<script>alert(1)</script>",
]  # fmt: skip


def is_safe(text: str) -> bool:
    return all(c.isprintable() or c in "\n\t" for c in text) and f"\n{FORGED}" not in text


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A store whose models, genes and completions are hostile, and what is made of it."""
    folder = tmp_path_factory.mktemp("hostile")
    random = np.random.default_rng(0)
    genes = [f"{HOSTILE[i % 9]} gene {i}" for i in range(12)]
    rows = [
        {"model": name, "gene": gene, "completion": f" {HOSTILE[random.integers(9)]}{k}"}
        for k, name in enumerate(HOSTILE)
        for gene in genes
        for _ in range(4)
    ]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("store", "other"):
            import_completions(path, folder / name)
        table = pp.AlleleTable.from_store(pp.SampleStore.open(folder / "store"))
        pp.nei_distance(pp.nei_similarity(table)).save(folder / "d.npz")
        pp.neighbor_joining(pp.DistanceMatrix.load(folder / "d.npz")).write(folder / "t.nwk")
    quoted = [name.replace('"', '""') for name in HOSTILE]
    meta = "".join(f'"{n}","{n} family",{f"m{i}" if i else ""}\n' for i, n in enumerate(quoted))
    (folder / "m.csv").write_text("model,family,base_model\n" + meta)
    scores = "".join(f'"{n}",0.{i + 10}\n' for i, n in enumerate(quoted))
    (folder / "s.csv").write_text(f'model,"{quoted[1]}"\n' + scores)
    (folder / "bad.csv").write_text(f'model,x\n"{quoted[1]}","{quoted[3]}"\n')
    (folder / "bad.nwk").write_text(f"('{quoted[1]}','{quoted[1]}');")
    return folder


COMMANDS = [
    "distance store -o out.npz", "distance store -o out.csv --intervals limits.csv",
    "tree d.npz -o tree.nwk --metadata m.csv --no-pictures",
    "tree d.npz -o tree.nwk --outgroup NAME --no-pictures",
    "nearest NAME --store store -k 20", "nearest nobody --store store",
    "place NAME --store store --tree t.nwk -o placed.nwk",
    "plan store", "same store other", "merge NAME --store store",
    "merge NAME --store store --base NAME1", "distilled NAME --store store --base NAME1",
    "admixture --store store --no-pictures",
    "trajectory NAME NAME1 --store store -o steps.csv --no-pictures",
    "sensitivity store other -o moved.csv", "sensitivity store -o moved.csv --chars 2,3",
    "parents d.npz --metadata m.csv -o parents.csv",
    "predict d.npz --scores s.csv -o p.csv --metadata m.csv",
    "predict d.npz --scores bad.csv -o p.csv",
    "report store -o r.html --metadata m.csv", "info --store store",
    "genes select store -o g.jsonl",
    "genes show store/genome.jsonl", "genes info store/genome.jsonl",
    "import rows.jsonl --store imported", "tree bad.nwk -o tree.nwk", "NAME", "tree --NAME",
    "report NAME -o r.html", "distance NAME -o NAME", "sample NAME --store NAME --backend NAME",
    "tree d.npz -o tree.nwk --method NAME", "place x --store store --tree bad.nwk",
]  # fmt: skip


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_prints_what_a_terminal_would_obey(
    command, as_json, hostile, capfd, monkeypatch
):
    if as_json and command.startswith("predict d.npz --scores s.csv"):
        return  # as slow as the text
    monkeypatch.chdir(hostile)
    names = {"NAME": HOSTILE[1], "NAME1": HOSTILE[3]}
    argv = [re.sub(r"NAME1?", lambda m: names[m[0]], word) for word in command.split()]
    try:
        code = main([*argv, *(["--json"] if as_json else [])])
    except SystemExit as leave:  # argparse
        code = leave.code
    out, err = capfd.readouterr()
    assert is_safe(out), out
    assert is_safe(err), err
    assert code in (0, 1, 2)
    if as_json and code == 0:
        json.loads(out)


@given(st.text())
def test_what_is_shown_is_printable_and_the_rest_untouched(text):
    assert is_safe(shown(text, "").replace(FORGED, ""))
    assert all(c.isprintable() for c in shown(text, ""))
    if text.isprintable():
        assert shown(text, "") == text
    assert json.loads(json_shown(json.dumps(text, ensure_ascii=False))) == text
    assert all(c.isprintable() for c in json_shown(json.dumps(text, ensure_ascii=False)))


def test_progress_bars_and_trees_show_names_as_they_are_safe(monkeypatch):
    from pyphylo.sampling.events import ProgressBar
    from pyphylo.tree.ascii import draw_ascii

    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    bar = ProgressBar()
    bar({"event": "plan", "genes": 2, "to_sample": HOSTILE})
    for name in HOSTILE:
        bar({"event": "model_started", "model": name, "index": 1, "of": 2})
    bar.close()
    drawn = terminal.getvalue()
    assert "1/2 d\\u202egnp" in drawn
    assert all(char.isprintable() or char in "\r\n" for char in drawn.replace("\x1b[A", ""))
    tree = pp.Tree(HOSTILE, [12] * 12 + [-1])
    assert is_safe(draw_ascii(tree))


# -- secrets -------------------------------------------------------------------------------------

KEY = "sk-canary-0123456789abcdefXYZ/+="
FORMS = (KEY, quote(KEY, safe=""), base64.b64encode(KEY.encode()).decode(), "abcdefXYZ", KEY[-9:])


def leaks(folder: Path, *texts: str) -> list[str]:
    found = [text for text in texts if any(form in text for form in FORMS)]
    for path in folder.rglob("*"):
        names = [form for form in FORMS if form in path.name]
        data = path.read_bytes() if path.is_file() else b""
        found += [str(path)] * (bool(names) or any(form.encode() in data for form in FORMS))
    return found


def echo(status, where):
    """A server that says the key it was given, in one way or another."""

    def answer(server, request):
        said = (
            f"key {KEY}, header 'Authorization: Bearer {KEY}', {quote(KEY, safe='')}, …{KEY[-9:]}"
        )
        if where == "message":
            return status, {}, {"error": {"message": said, "code": KEY, "type": KEY, "param": KEY}}
        if where == "html":
            return status, {}, f"<html>{said}</html>".encode()
        if where == "headers":
            return status, {"x-key": KEY, "retry-after": KEY}, {"error": {"message": "no"}}
        choice = {"text": f" {KEY} {said}", "finish_reason": KEY}
        return 200, {}, {"model": f"m {KEY}", "id": KEY, "choices": [choice] * request.body["n"]}

    return answer


CASES = [
    *((status, "message") for status in (400, 401, 403, 404, 422, 429, 500, 503)),
    *((status, "html") for status in (200, 403, 500)), (500, "headers"), (200, "answer"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "where"), CASES)
def test_a_key_that_a_server_says_back_is_written_nowhere(
    status, where, tmp_path, monkeypatch, capfd
):
    pytest.importorskip("openai")
    from stub_server import Stub, serving

    from pyphylo.sampling import _ask

    monkeypatch.setattr(_ask, "_FIRST_PAUSE", 0.01)
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OTHER_NAME", KEY)  # a name that does not say what it holds
    monkeypatch.setenv("COLUMNS", "500")
    with serving(Stub([echo(status, where)])) as server:
        argv = ["sample", "m", "--store", str(tmp_path / "s"), "--backend", "openai", "--base-url"]
        argv += [server.url, "--api-key-env", "OTHER_NAME", "--genes", "2", "--probes", "2"]
        codes = [main([*argv, *more]) for more in (["--json"], [], ["--endpoint", "chat"])]
        assert {request.key for request in server.requests} == {KEY}
        try:
            pp.sample(["x=m"], pp.Genome.default().head(2), store=tmp_path / "t", strict=True,
                      backend="openai", base_url=server.url, api_key_env="OTHER_NAME")  # fmt: skip
            raised = ""
        except pp.PyphyloError as error:
            raised = "".join(traceback.format_exception(error)) + repr(error)
    out, err = capfd.readouterr()
    assert leaks(tmp_path, out, err, raised) == []
    # The third asks for chats, which a finished model is not.
    assert codes == ([0, 0, 2] if where == "answer" else [1] * 3), err
    assert (
        where != "answer"
        or "[key]" in pp.SampleStore.open(tmp_path / "s").read("m").facts["served_models"][0]
    )


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (f"the key {KEY} is wrong", "the key [key] is wrong"),
        (f"sent {quote(KEY, safe='')}", "sent [key]"),
        (f"provided: {KEY[:10]}****************{KEY[-4:]}.", "provided: [key]"),
        ("nothing of it", "nothing of it"),
    ],
)
def test_a_key_is_hidden_whole_and_in_part(said, left):
    assert hide_key(said, KEY).rstrip(".") == left.rstrip(".")
    assert hide_key(said, "") == said


ORDINARY = [
    "a box", "next EMPTY box; the development of it, x ollama", "password_protected_archive",
    "password1234567890", "1234567890", "sk-no-key-required", "local-development", "",
]  # fmt: skip


@pytest.mark.parametrize(
    "key",
    ["x", "a", "EMPTY", "ollama", "local-development", "password1234567890", "sk-no-key-required"],
)
def test_a_key_that_is_a_word_takes_nothing_out_of_completions(key):
    assert [hide_key_in_data(text, key) for text in ORDINARY] == ORDINARY


@pytest.mark.parametrize("key", ["x", "EMPTY", "ollama"])
def test_a_short_key_takes_nothing_out_of_messages(key):
    assert [hide_key(text, key) for text in ORDINARY] == ORDINARY


@pytest.mark.parametrize("key", [KEY, "0123456789abcdef" * 2, "sk-proj-AbC12dEf34GhI56"])
def test_completions_are_kept_but_for_a_key_that_looks_random(key):
    assert [hide_key_in_data(text, key) for text in ORDINARY] == ORDINARY
    said = f"I am {key}, {quote(key, safe='')}, …{key[-9:]}"
    assert hide_key_in_data(said, key) == "I am [key], [key], …[key]"


@pytest.mark.parametrize("key", ["x", "EMPTY", "local-development", "password1234567890"])
def test_what_a_model_says_does_not_depend_on_the_key(key, tmp_path, monkeypatch):
    pytest.importorskip("openai")
    from stub_server import Stub, serving

    def answer(server, request):
        choices = [{"text": f" {text}"} for text in ORDINARY[:2]]
        return 200, {}, {"model": "EMPTY box", "choices": choices}

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with serving(Stub([answer])) as server:
        store = pp.sample(
            ["m"], pp.Genome(["g"], ["One two"]), store=tmp_path / "s", n_probes=2,
            backend="openai", base_url=server.url, endpoint="completions",
        )  # fmt: skip
    shard = store.read("m")
    assert shard.table.column("completion").to_pylist() == [f" {text}" for text in ORDINARY[:2]]
    assert shard.facts["served_models"] == ["EMPTY box"]


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("GET https://me:hunter2pass@host/x", "GET https://host/x"),
        ("https://host/v1?api_key=abc&x=1", "https://host/v1?api_key=…&x=1"),
        ("https://host/v1?X-Amz-Signature=abc", "https://host/v1?X-Amz-Signature=…"),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer [key]"),
        ("hf_" + "a" * 34, "[key]"),
        ("token=the-canary-of-the-hub", "token=[HF_TOKEN]"),
        ("model 'gpt2': no such file ?key", "model 'gpt2': no such file ?key"),
        ("/home/someone/keys", "/home/someone/keys"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(said, left, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "the-canary-of-the-hub")
    monkeypatch.setenv("SSH_KEY", "/home/someone/keys")
    assert hide(said).replace("//…@", "//") == left


def test_no_secret_of_the_environment_is_printed(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HF_TOKEN", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-canary-of-the-cloud")
    monkeypatch.chdir(tmp_path)
    for word in (KEY, "the-canary-of-the-cloud", f"https://me:{KEY}@host/x?api_key={KEY}"):
        for argv in (
            ["tree", word, "-o", "x.nwk"], ["distance", word, "-o", "d.npz"], [word],
            ["tree", "--" + word],
            ["report", word, "-o", "r.html"], ["tree", "a", "-o", "t", "--method", word],
            ["sample", "m", "--store", "s", "--backend", "openai", "--base-url", word],
            ["sample", word, "--store", "s"],
        ):  # fmt: skip
            with contextlib.suppress(SystemExit):
                assert main(argv) != 0
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    out, err = capfd.readouterr()
    assert leaks(tmp_path, out, err) == []
    assert "the-canary-of-the-cloud" not in out + err


def test_text_that_looks_like_a_secret_without_end_is_searched_in_linear_time():
    for text in ("//" + ":" * 200_000, "?" + "a-" * 100_000, "x" * 200_000, "bearer " * 50_000):
        started = time.process_time()
        hide(text)
        hide_key(text, KEY)
        hide_key_in_data("x", text[:5000])
        assert time.process_time() - started < 5

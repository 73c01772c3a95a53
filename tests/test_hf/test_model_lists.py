"""One MODEL that stands for many: files of names, folders of checkpoints, revisions by pattern."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import pyphylo as pp
from pyphylo.sampling._revisions import natural_key
from pyphylo.sampling.specs import checkpoint_folders, expand_models

GENOME = pp.Genome.default().head(4)
FAST = {"n_probes": 3, "device": "cpu"}


def pairs(*specs: str) -> list[tuple[str, str]]:
    return [(model.name, model.spec) for model in expand_models(specs)]


def checkpoints(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "config.json").write_text("{}")
        (root / name / "model.safetensors").write_bytes(b"w")
    return root


# -- folders of checkpoints ------------------------------------------------------------


def test_a_folder_of_checkpoints_is_each_of_them(tmp_path):
    out = checkpoints(tmp_path / "out", "checkpoint-1000", "checkpoint-200", "checkpoint-30")
    (out / "runs").mkdir()
    (out / "trainer_state.json").write_text("{}")
    (out / "checkpoint-30" / "optimizer.pt").write_bytes(b"")
    names = [f"checkpoint-{step}" for step in (30, 200, 1000)]
    for typed in (str(out), f"{out}/"):
        assert pairs(typed) == [(f"{out}/{name}", f"{out}/{name}") for name in names]
    assert pairs(f"mine={out}") == [(f"mine/{name}", f"{out}/{name}") for name in names]


def test_an_adapter_is_a_checkpoint_too(tmp_path):
    out = checkpoints(tmp_path, "checkpoint-2")
    (out / "checkpoint-1").mkdir()
    (out / "checkpoint-1" / "adapter_config.json").write_text("{}")
    assert [path.name for path in checkpoint_folders(out)] == ["checkpoint-1", "checkpoint-2"]


def test_a_model_with_checkpoints_inside_is_the_model(tmp_path):
    out = checkpoints(tmp_path / "out", ".", "checkpoint-1")
    assert pairs(str(out)) == [(str(out), str(out))]
    (out / "model.safetensors").unlink()  # a config beside checkpoints is no model
    assert pairs(str(out)) == [(f"{out}/checkpoint-1", f"{out}/checkpoint-1")]


def test_patterns_of_paths(tmp_path):
    out = checkpoints(tmp_path, "run@a/checkpoint-10", "run@a/checkpoint-9", "run@b/checkpoint-1")
    (out / "run@a" / "checkpoint-log").mkdir()
    found = [f"{out}/run@a/checkpoint-{step}" for step in (9, 10)]
    assert pairs(f"{out}/run@a/checkpoint-*") == [(path, path) for path in found]
    assert [name for name, _ in pairs(f"r={out}/run@[ab]/checkpoint-?")] == [
        "r/checkpoint-9",
        "r/checkpoint-1",
    ]
    with pytest.raises(pp.InputError, match=r"matches no path"):
        pairs(f"{out}/none-*")
    with pytest.raises(pp.InputError, match="matches 1 paths, none a model"):
        pairs(f"{out}/run@a/checkpoint-l*")


def test_natural_order():
    names = ["stepx", "10", "step100b", "step9", "step100", "step10", "9", "step0"]
    assert sorted(names, key=natural_key) == [
        *("9", "10", "step0", "step9", "step10", "step100", "step100b", "stepx")
    ]


def test_the_store_names_checkpoints(checkpoint, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(checkpoint("llama"), out / "checkpoint-10")
    shutil.copytree(checkpoint("gpt2"), out / "checkpoint-9")
    store = pp.sample([f"t={out}"], GENOME, store=tmp_path / "s", **FAST)
    assert store.models == ("t/checkpoint-10", "t/checkpoint-9")
    single = pp.sample(
        {"t/checkpoint-9": out / "checkpoint-9"}, GENOME, store=tmp_path / "one", **FAST
    )
    assert single.read("t/checkpoint-9").table == store.read("t/checkpoint-9").table


# -- files of names --------------------------------------------------------------------


def test_a_file_of_models(tmp_path):
    out = checkpoints(tmp_path / "out", "c-2", "c-10")
    listed = tmp_path / "models.txt"
    listed.write_text(
        f"\ufeff# a family\norg/one@main\n\n  mine=x\nt={out}   # trajectory\norg/has#hash\n",
        encoding="utf-8",
    )
    expected = [
        ("org/one@main", "org/one@main"),
        ("mine", "x"),
        ("t/c-2", f"{out}/c-2"),
        ("t/c-10", f"{out}/c-10"),
        ("org/has#hash", "org/has#hash"),
    ]
    assert pairs(f"@{listed}") == expected
    assert pairs("first", f"@{listed}") == [("first", "first"), *expected]
    origins = {model.name: model.origin for model in expand_models([f"@{listed}"])}
    assert origins["t/c-10"] == f"models file {str(listed)!r}, line 5"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a\n=x\n", r"line 2: '=x': expected MODEL or label=MODEL"),
        ("a\n\na\n", r"'a' occurs twice, in models file '.*', line 1 and models file '.*', line 3"),
        ("x=a\n@more.txt\n", r"line 2: '@more\.txt' is another file"),
        ("# nothing\n\n", "names no model"),
        ("a\n./b/step-*\n", r"line 2: model pattern '\./b/step-\*' matches no path"),
    ],
)
def test_lines_that_cannot_be_used_are_named(text, match, tmp_path):
    listed = tmp_path / "models.txt"
    listed.write_text(text)
    with pytest.raises(pp.InputError, match=match):
        expand_models([f"@{listed}"])


def test_nothing_does_not_stand_for_the_working_folder(tmp_path, monkeypatch):
    checkpoints(tmp_path, "c-1", "c-2")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pp.InputError, match="'' is no model"):
        expand_models([""])
    assert pairs(".") == [("./c-1", "./c-1"), ("./c-2", "./c-2")]


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(pp.InputError, match="models file '/none' does not exist"):
        expand_models(["@/none"])
    (tmp_path / "latin").write_bytes(b"caf\xe9\n")
    with pytest.raises(pp.InputError, match="is not UTF-8"):
        expand_models([f"@{tmp_path / 'latin'}"])
    with pytest.raises(pp.InputError, match="expected @FILE"):
        expand_models(["@"])


def test_an_absent_model_of_a_file_is_named_with_its_line(checkpoint, tmp_path):
    listed = tmp_path / "models.txt"
    listed.write_text(f"ok={checkpoint('gpt2')}\n./none\n./neither\n")
    with pytest.raises(pp.InputError, match=r"line 2: model '\./none': .*line 3: model '\./nei"):
        pp.sample([f"@{listed}"], GENOME, store=tmp_path / "s", **FAST)
    assert not (tmp_path / "s").exists()


def test_mappings_are_taken_as_they_are(tmp_path):
    out = checkpoints(tmp_path, "c-1", "c-2")
    (model,) = expand_models({"a=b": str(out)})
    assert (model.name, model.spec) == ("a=b", str(out))
    assert expand_models((model,)) == (model,)
    with pytest.raises(pp.InputError, match=r"no config\.json but checkpoints: pass one of them"):
        pp.sample({"a": str(out)}, GENOME, store=tmp_path / "s", **FAST)


# -- revisions of a hub model ------------------------------------------------------------

REVISIONS = {"main": "a" * 40, "step9": "b" * 40, "step10": "c" * 40, "step100": "d" * 40}


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as finding and reading models asks for; folders are commits."""

    root: Path

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        if match := re.fullmatch(r"/api/models/(\w+/[\w-]+)/refs", path):
            self._refs(match[1])
        elif match := re.fullmatch(r"/api/models/(\w+/[\w-]+)(?:/revision/(\w+)(?:/\w+)*)?", path):
            self._info(match[1], match[2] or "main")
        elif match := re.fullmatch(r"/(\w+/[\w-]+)/resolve/(\w+)/(.+)", path):
            self._file(match[1], match[2], match[3])
        else:
            self._send(404, b"{}")

    def _commit(self, repo: str, revision: str) -> str | None:
        commit = REVISIONS.get(revision, revision)
        return commit if (self.root / repo / commit).is_dir() else None

    def _refs(self, repo: str) -> None:
        if not (self.root / repo).is_dir():
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        named = [{"name": k, "ref": f"refs/heads/{k}", "targetCommit": v} for k, v in
                 REVISIONS.items()]  # fmt: skip
        body = {"branches": named[:2], "tags": named[1:], "converts": []}
        self._send(200, json.dumps(body).encode())

    def _info(self, repo: str, revision: str) -> None:
        commit = self._commit(repo, revision)
        if commit is None:
            known = (self.root / repo).is_dir()
            code = "RevisionNotFound" if known else "RepoNotFound"
            self._send(404, b"{}", {"X-Error-Code": code})
            return
        files = [{"rfilename": p.name} for p in (self.root / repo / commit).iterdir()]
        body = {"id": repo, "sha": commit, "siblings": files, "private": False, "tags": [],
                "downloads": 0, "likes": 0}  # fmt: skip
        self._send(200, json.dumps(body).encode())

    def _file(self, repo: str, revision: str, name: str) -> None:
        commit = self._commit(repo, revision)
        path = self.root / repo / str(commit) / name
        if commit is None or not path.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": str(commit)})
            return
        data = path.read_bytes()
        etag = f'"{len(data)}-{hash(data) & 0xFFFFFFFF:08x}"'
        self._send(200, data, {"ETag": etag, "X-Repo-Commit": commit})

    def _send(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def hub(tmp_path: Path, checkpoint: Any) -> Iterator[tuple[str, Path]]:
    """The address of a hub with one model, whose four revisions differ, and its folder."""
    root = tmp_path / "hub"
    for number, commit in enumerate(REVISIONS.values()):
        folder = root / "some" / "model" / commit
        shutil.copytree(checkpoint("llama"), folder)
        config = json.loads((folder / "config.json").read_text())
        config["rms_norm_eps"] = 10.0 ** -(number + 3)
        (folder / "config.json").write_text(json.dumps(config))
    handler = type("OneHub", (Hub,), {"root": root})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", root
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def in_process(code: str, home: Path, endpoint: str = "", **more: str) -> list[str]:
    """Run Python with a hub (or none) and a cache of its own; the lines that it prints."""
    env = os.environ | {
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0" if endpoint else "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        **more,
    }
    if endpoint:
        env["HF_ENDPOINT"] = endpoint
    env.pop("HF_HUB_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


EXPAND = """
import sys
from pyphylo.errors import PyphyloError
from pyphylo.sampling.specs import expand_models
for spec in {specs!r}:
    try:
        print(*(f"{{m.name}}={{m.spec}}" for m in expand_models([spec])))
    except PyphyloError as error:
        print(type(error).__name__, error)
assert "torch" not in sys.modules
"""


def test_revisions_by_pattern(hub, tmp_path):
    specs = [
        "some/model@step*",
        "t=some/model@step1*",
        "some/model@st*9",
        "some/model@none*",
        "some/absent@*",
    ]
    lines = in_process(EXPAND.format(specs=specs), tmp_path / "home", hub[0])
    assert lines[0] == " ".join(f"some/model@{s}=some/model@{s}" for s in ("step9", "step10",
                                                                           "step100"))  # fmt: skip
    assert lines[1] == "t@step10=some/model@step10 t@step100=some/model@step100"
    assert lines[2] == "some/model@step9=some/model@step9"
    assert lines[3] == (
        "InputError model pattern 'some/model@none*' matches no revision of 'some/model' on the "
        "hub: it has main, step9, step10, step100 (4 in all)"
    )
    assert lines[4].startswith("InputError model 'some/absent@*': no such model on the hub")


def test_offline_patterns_see_what_is_cached(checkpoint, tmp_path):
    repo = tmp_path / "hub" / "models--some--model"
    (repo / "refs" / "deep").mkdir(parents=True)
    for name in ("step9", "step10", "deep/step11"):
        (repo / "refs" / name).write_text(REVISIONS.get(name, "e" * 40))
    (repo / "refs" / "step12").write_text("f" * 40)  # a name without a snapshot
    for commit in (REVISIONS["step9"], REVISIONS["step10"], "e" * 40):
        (repo / "snapshots" / commit).mkdir(parents=True)
    listed = tmp_path / "models.txt"
    listed.write_text("some/model@step9\nsome/other@*\n")
    specs = ["some/model@*step*", "some/model@x*", "some/other@*", f"@{listed}"]
    lines = in_process(EXPAND.format(specs=specs), tmp_path)
    assert lines[0].split() == [
        f"some/model@{name}=some/model@{name}" for name in ("deep/step11", "step9", "step10")
    ]
    assert "in the cache (the hub cannot be reached): it has deep/step11, step9" in lines[1]
    assert lines[2].startswith("WorkError model 'some/other@*': the hub cannot be reached")
    assert lines[3].startswith(f"WorkError models file {str(listed)!r}, line 2: model 'some/other@")


SAMPLE = """
import json, pyphylo as pp
from pyphylo.sampling.scheduler import sample
store = sample({specs!r}, pp.Genome.default().head(3), store={store!r}, n_probes=2, device="cpu",
               {options})
for name in store.models:
    print(name, store.identity(name).revision)
"""


def sampling(specs: list[str], store: Path, options: str = "") -> str:
    return SAMPLE.format(specs=specs, store=str(store), options=options)


def test_a_trajectory_is_sampled_and_the_cache_bounded(hub, tmp_path):
    """With a bound of nothing each revision goes when it is done; the store is the same."""
    endpoint, _ = hub
    kept, bounded = tmp_path / "kept", tmp_path / "bounded"
    lines = in_process(sampling(["some/model@step*"], tmp_path / "a"), kept, endpoint)
    steps = ("step10", "step100", "step9")
    assert lines == [f"some/model@{s} some/model@{REVISIONS[s]}" for s in steps]
    assert len(list(kept.glob("hub/models--some--model/snapshots/*/model.safetensors"))) == 3
    # One revision was there before the bounded run: it stays, with all it is made of.
    code = sampling(["some/model@step9"], tmp_path / "one")
    code += sampling(["some/model@step*"], tmp_path / "b", "max_cache_gb=0")
    assert in_process(code, bounded, endpoint)[1:] == lines
    snapshots = [p.parent for p in bounded.rglob("model.safetensors")]
    assert [folder.name for folder in snapshots] == [REVISIONS["step9"]]
    whole = kept / "hub" / "models--some--model" / "snapshots" / REVISIONS["step9"]
    assert contents(snapshots[0]) == contents(whole)
    # What was fetched by name is found by name without a network.
    assert in_process(sampling(["some/model@step*"], tmp_path / "c"), kept) == lines
    assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(tmp_path / "c")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_hub_model_that_is_gone_stops_no_other(hub, checkpoint, tmp_path):
    code = (
        "import pyphylo as pp\n"
        f"models = ['some/gone', 'some/model@none', 'ok={checkpoint('gpt2')}']\n"
        "try:\n"
        "    pp.sample(models, pp.Genome.default().head(3), n_probes=2, device='cpu',\n"
        f"              store={str(tmp_path / 's')!r})\n"
        "except pp.WorkError as error:\n"
        "    print(error)\n"
        f"print(*pp.SampleStore.open({str(tmp_path / 's')!r}).models)\n"
    )
    said, stored = in_process(code, tmp_path / "home", hub[0])
    assert said.startswith("2 of 3 models could not be sampled: some/gone: model 'some/gone': no")
    assert "some/model@none: model 'some/model@none': 'some/model' has no revision 'none'" in said
    assert stored == "ok"


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="peft is not installed")
def test_adapters_of_the_hub(hub, adapter, tmp_path):
    """Base and adapter both from the hub; again from its cache alone."""
    endpoint, root = hub
    base = root / "some" / "model" / REVISIONS["step9"]
    folder = adapter("a", base)
    config = json.loads((folder / "adapter_config.json").read_text())
    config |= {"base_model_name_or_path": "some/model", "revision": "step9"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    for revision in (REVISIONS["main"], REVISIONS["step9"]):
        shutil.copytree(folder, root / "some" / "lora" / revision)
        shutil.copy(base / "config.json", root / "some" / "lora" / revision)  # as many have
    home = tmp_path / "home"
    online, offline = (sampling(["some/lora"], tmp_path / name) for name in ("on", "off"))
    revision = f"some/lora@{REVISIONS['main']} on some/model@{REVISIONS['step9']}"
    assert in_process(online, home, endpoint) == [f"some/lora {revision}"]
    fetched = {path.name for path in home.glob("hub/models--some--lora/snapshots/*/*")}
    assert fetched == {"adapter_config.json", "adapter_model.safetensors"}
    assert in_process(offline, home) == [f"some/lora {revision}"]
    assert contents(tmp_path / "on") == contents(tmp_path / "off")

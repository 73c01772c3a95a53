"""What is learnt from a server's refusals; and the backend without its client."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from pyphylo.sampling._dialect import NEUTRAL, Dialect

KEYS = [*NEUTRAL, "seed", "n"]
WORDS = ["prompt is too long", "it couldn't be\n n done", "not a completion model", "max_tokens"]
texts = st.one_of(st.sampled_from(KEYS + WORDS), st.text(max_size=20))
reasons = st.recursive(
    texts | st.none() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
refusals = st.tuples(st.sampled_from([400, 401, 404, 405, 422, 500, 501]), reasons)


@given(
    st.sampled_from(["auto", "completions", "chat"]), st.lists(refusals, min_size=15, max_size=15)
)
def test_giving_way_ends(endpoint, answers):
    """However a server refuses, what is asked gets less each time, then it is the end."""
    dialect = Dialect(endpoint, "Go on.")
    seen = []
    for status, reason in answers:
        body = dialect.body("text", 3, 7, 1.0, 5)
        assert body not in seen
        seen.append(body)
        assert body["temperature"] == 1.0
        assert {"prompt", "messages"} & body.keys()
        if not dialect.gives_way(body, status, reason):
            break
    assert len(seen) <= 12
    if endpoint != "auto":
        assert dialect.endpoint == endpoint


def refused(message: object, status: int = 400) -> tuple[str, ...]:
    dialect = Dialect("completions", "Go on.")
    assert dialect.gives_way(dialect.body("text", 3, 7, 1.0, 5), status, message)
    return dialect.dropped


def test_only_what_is_named_is_dropped():
    assert refused("Unrecognized request argument supplied: min_p") == ("min_p",)
    assert refused({"loc": ["body", "seed"], "input": {"n": 3, "min_p": 0}}) == ("seed",)
    assert refused("n must be 1") == ("n",)
    assert refused({"param": "n", "message": "Invalid value"}) == ("n",)
    assert refused("Unknown parameter: 'n'.") == ("n",)
    # Letters and longer names are not keys: nothing is named, so what is unusual goes first.
    unusual = ("min_p", "repeat_penalty", "repetition_penalty", "top_k")
    assert refused("couldn't parse\nn tokens of top_keys") == unusual


def test_top_k_has_two_ways_to_say_none():
    dialect = Dialect("chat", "Go on.")
    said = []
    for _ in range(2):
        body = dialect.body("text", 3, 7, 1.0, 5)
        said.append(body["top_k"])
        assert dialect.gives_way(body, 400, "top_k is wrong")
    assert said == [0, -1]
    assert dialect.dropped == ("top_k",)


def test_requests_refused_together_all_try_again():
    dialect = Dialect("completions", "Go on.")
    bodies = [dialect.body("text", 3, 7, 1.0, 5) for _ in range(3)]
    assert all(dialect.gives_way(body, 422, "min_p") for body in bodies)
    assert dialect.dropped == ("min_p",)


def test_without_its_client_the_backend_says_what_to_install(tmp_path):
    program = (
        "import sys; sys.modules['openai'] = None\n"
        "from pyphylo.cli import main\n"
        "raise SystemExit(main(['sample', 'm', '--store', 's', '--backend', 'openai']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "pip install 'pyphylo[openai]'" in done.stderr
    assert list(tmp_path.iterdir()) == []

"""Chat templates: off unless asked for, then what the template writes and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers

import pyphylo as pp
from pyphylo.sampling.base import SamplingConfig
from pyphylo.sampling.hf import HuggingFaceSampler

TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
GENOME = pp.Genome(["a", "b"], ["The quick brown", "Let x be a real"])
CHAT = SamplingConfig(n_probes=4, chat="template")


@pytest.fixture
def instruct(own_copy):
    """A folder whose tokenizer has a chat template."""
    folder = own_copy("llama")

    def make(template: str = TEMPLATE) -> Path:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        tokenizer.chat_template = template
        tokenizer.save_pretrained(folder)
        return folder

    return make


def _sampler(folder, **options):
    return HuggingFaceSampler("m", str(folder), device="cpu", **options)


def test_the_default_configuration_says_what_it_always_said():
    assert SamplingConfig().to_dict() == {
        "n_probes": 32,
        "temperature": 1.0,
        "chars": 4,
        "max_new_tokens": 5,
        "seed": 0,
        "mode": "sample",
    }
    assert SamplingConfig(chat="none") == SamplingConfig()
    assert CHAT.to_dict()["chat"] == "template"
    with pytest.raises(pp.InputError, match=r"chat 'yes'; known: 'none', 'template'"):
        SamplingConfig(chat="yes")


def test_a_template_changes_nothing_unless_asked_for(checkpoint, instruct):
    plain, chatty = _sampler(checkpoint("llama")), _sampler(instruct())
    assert plain.identity.tokenization == chatty.identity.tokenization == "auto"
    ids = [s.sample(GENOME, SamplingConfig(4)).facts["first_token_ids"] for s in (plain, chatty)]
    assert ids[0] == ids[1]


def test_the_prompt_is_a_users_message_and_the_answer_is_to_start(instruct):
    folder = instruct()
    population = _sampler(folder, chat="template").sample(GENOME, CHAT)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = "[user] The quick brown\n[assistant]"
    expected = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert population.facts["first_token_ids"] == expected
    assert population.facts["chat_template"] == TEMPLATE
    # The same tokens as a prompt give the same distribution: another stream, the same support.
    assert [len(c) for c in population.completions] == [4, 4]


def test_the_key_names_the_template(instruct):
    first = _sampler(instruct(), chat="template").identity
    again = _sampler(instruct(), chat="template").identity
    other = _sampler(instruct(TEMPLATE + " "), chat="template").identity
    assert first.tokenization.startswith("chat:")
    assert first.tokenization == again.tokenization != other.tokenization


@pytest.mark.parametrize("start", ["", "\n", "  ", "  {% if true %}x{% endif %}", "\n\n "])
def test_a_template_that_asks_for_the_day_gets_the_same_one_always(instruct, start):
    dated = "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y, %A') }}{% endif %}"
    folder = instruct(start + dated + "{{ messages[0].content }}")
    facts = _sampler(folder, chat="template").sample(GENOME, CHAT).facts
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    # What the library itself writes around the date, whatever day it is.
    plain = tokenizer.apply_chat_template(
        [{"role": "user", "content": "The quick brown"}],
        chat_template=facts["chat_template"].replace(
            dated, "{% if true %}01 Jan 2024, Monday{% endif %}"
        ),
        tokenize=False,
    )
    expected = tokenizer(plain, add_special_tokens=False)["input_ids"]
    assert facts["first_token_ids"] == expected


def test_what_cannot_be_wrapped_is_refused(checkpoint, instruct):
    with pytest.raises(pp.InputError, match=r"llama.*no chat template; .*chat='none'"):
        _sampler(checkpoint("llama"), chat="template")
    with pytest.raises(pp.InputError, match="add_bos"):
        _sampler(instruct(), chat="template", add_bos=True)
    with pytest.raises(pp.InputError, match=r"gene 'a'.*only for poets"):
        _sampler(instruct("{{ raise_exception('only for poets') }}"), chat="template").sample(
            GENOME, CHAT
        )
    with pytest.raises(pp.InputError, match="makes no token"):
        _sampler(instruct("{{ '' }}"), chat="template").sample(GENOME, CHAT)
    with pytest.raises(pp.InputError, match="pass the same to both"):
        _sampler(instruct()).sample(GENOME, CHAT)


def test_a_store_is_of_one_kind(instruct, tmp_path):
    folder = str(instruct())
    raw, chat = tmp_path / "raw", tmp_path / "chat"
    pp.sample({"m": folder}, GENOME, store=raw, n_probes=2, device="cpu")
    pp.sample({"m": folder}, GENOME, store=chat, n_probes=2, device="cpu", chat="template")
    assert "chat" not in json.loads((raw / "manifest.json").read_text())["sampling"]
    assert json.loads((chat / "manifest.json").read_text())["sampling"]["chat"] == "template"
    (shard,) = pp.SampleStore.open(chat).shards()
    assert shard.identity.tokenization.startswith("chat:")
    # Resumed: nothing to do, and nothing is refused.
    pp.sample({"m": folder}, GENOME, store=chat, n_probes=2, device="cpu", chat="template")
    with pytest.raises(pp.InputError, match="chat='template', not None"):
        pp.sample({"m": folder}, GENOME, store=chat, n_probes=2, device="cpu")


def test_the_command_takes_it(instruct, tmp_path, capsys):
    from pyphylo.cli import main

    folder = str(instruct())
    store = str(tmp_path / "store")
    options = "--genome code --genes 2 --probes 2 --chat template --device cpu --json"
    code = main(["sample", folder, "--store", store, *options.split()])
    assert code == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["sampling"]["chat"] == "template"
    assert pp.SampleStore.open(store).genome == pp.Genome.built_in("code").head(2)

"""What metadata say of descent, and model cards that fill it in."""

from __future__ import annotations

import datetime

import pandas as pd
import pytest

import pyphylo as pp
from pyphylo.errors import PyphyloWarning
from pyphylo.io.metadata import read_lineage
from pyphylo.io.model_cards import card_base_models, fill_base_models

DAY = datetime.date


def test_columns_are_read_from_a_file(tmp_path):
    path = tmp_path / "meta.csv"
    path.write_text(
        "model,base_model,date,params_b,note\n"
        "a,,2023,7.0,\n"
        "b,a,2024-02,6.5,x\n"
        '"c, d",org/elsewhere,2024-12-31,,\n'
        "e,,2023-12,,\n"
    )
    lineage = read_lineage(path, ["a", "zz"])
    assert lineage.parents == {"b": "a", "c, d": "org/elsewhere"}
    assert lineage.sizes == {"a": 7.0, "b": 6.5}
    assert lineage.dates == {
        "a": (DAY(2023, 1, 1), DAY(2023, 12, 31)),
        "b": (DAY(2024, 2, 1), DAY(2024, 2, 29)),
        "c, d": (DAY(2024, 12, 31), DAY(2024, 12, 31)),
        "e": (DAY(2023, 12, 1), DAY(2023, 12, 31)),
    }


def test_frames_and_mappings_say_the_same():
    rows = {"a": {"params_b": 7.0, "date": DAY(2024, 5, 1)}, "b": {"base_model": "a"}}
    frame = pd.DataFrame(
        {
            "model": ["a", "b"],
            "params_b": [7.0, None],
            "date": pd.to_datetime(["2024-05-01", None]),
            "base_model": [None, "a"],
        }
    )
    assert read_lineage(rows) == read_lineage(frame)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"date": "May 2024"}, "the date of model 'a' is 'May 2024'; write it as YYYY-MM-DD"),
        ({"date": "2024-02-30"}, "the date of model 'a' is '2024-02-30'"),
        ({"params_b": "7B"}, "params_b of model 'a' is '7B'; it must be a number of billions"),
        ({"params_b": "1_5"}, "params_b of model 'a' is '1_5'"),
        ({"params_b": "-1"}, "params_b of model 'a' is '-1'"),
        ({"params_b": "inf"}, "params_b of model 'a' is 'inf'"),
        ({"base_model": "a"}, "base_model says 'a' from 'a'"),
        ("a", "metadata of model 'a' must be a mapping"),
    ],
)
def test_bad_cells_are_named(row, message):
    with pytest.raises(pp.InputError, match=message):
        read_lineage({"a": row})


def test_a_cycle_is_named_without_its_tail():
    rows = {"x": "a", "a": "b", "b": "c", "c": "a"}
    with pytest.raises(pp.InputError, match=r"but base_model says 'a' from 'b' from 'c' from 'a'$"):
        read_lineage({model: {"base_model": parent} for model, parent in rows.items()})
    ring = {f"m{i}": {"base_model": f"m{(i + 1) % 20_000}"} for i in range(20_000)}
    with pytest.raises(pp.InputError, match="'m0' from 'm1' from 'm2' from 'm3' from … from 'm0'"):
        read_lineage(ring)
    del ring["m19999"]
    assert len(read_lineage(ring).parents) == 19_999


def test_frames_are_checked():
    with pytest.raises(pp.InputError, match="no column 'model'"):
        read_lineage(pd.DataFrame({"name": ["a"]}))
    with pytest.raises(pp.InputError, match="model 'a' is empty or occurs twice"):
        read_lineage(pd.DataFrame({"model": ["a", "a"]}))


@pytest.fixture
def card(tmp_path):
    def write(name, text):
        path = tmp_path / f"{name}.md"
        path.write_text(text)
        return str(path)

    return write


def test_cards_fill_empty_parents(card):
    rows = {
        "base": {"hf_id": "org/base"},
        "tuned": {"hf_id": card("tuned", "---\nbase_model: org/base\n---\n# Tuned\n")},
        "far": {"hf_id": card("far", "---\nbase_model:\n- org/unknown\n---\n")},
        "merge": {"hf_id": card("merge", "---\nbase_model:\n- org/base\n- org/b\n---\n")},
        "silent": {"hf_id": card("silent", "---\nlicense: mit\n---\n")},
        "said": {"hf_id": "org/never-asked", "base_model": "tuned"},
        "unknown": {"family": "f"},
    }
    rows["base"]["base_model"] = "root"
    filled = fill_base_models(rows)
    assert {m: r.get("base_model") for m, r in filled.items()} == {
        "base": "root",
        "tuned": "base",
        "far": "org/unknown",
        "merge": None,
        "silent": None,
        "said": "tuned",
        "unknown": None,
    }
    assert "base_model" not in rows["tuned"]
    assert card_base_models(rows["merge"]["hf_id"]) == ("org/base", "org/b")


@pytest.mark.parametrize("header", ["base_model: [1", "base_model: 3", "base_model:\n- 3"])
def test_bad_cards_are_refused(card, header):
    with pytest.raises(pp.FileFormatError, match="the model card of"):
        card_base_models(card("bad", f"---\n{header}\n---\n"))


def test_no_hub_is_one_error(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(pp.WorkError, match=r"'org/none' cannot be had .*write base_model into"):
        card_base_models("org/none")
    with pytest.raises(pp.InputError, match="neither a Hub id"):
        card_base_models("no such name")


def test_warnings_name_the_line_that_asked():
    for rows, names in (
        ({"a": {"bas_model": "b"}}, None),
        ({"gpt-2-large": {"date": "2024"}, "b": {}}, ["gpt-2-larg", "b"]),
        ({"a": {"date": "2024"}}, ["zz"]),
    ):
        with pytest.warns(PyphyloWarning) as told:
            read_lineage(rows, names)
        assert [each.filename for each in told] == [__file__]

"""Saved estimators predict the same bits, and no file is executed."""

import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError
from test_predict_estimators import family_world

import pyphylo as pp
from pyphylo.predict import BenchmarkRegressor, ReferenceRegressor


def same_bits(one, two):
    return np.asarray(one).tobytes() == np.asarray(two).tobytes()


@settings(max_examples=12)
@given(
    link=st.sampled_from(["logit", "identity"]),
    affinity=st.sampled_from(["distance", "similarity"]),
    benchmarks=st.sampled_from([None, 1, 3]),
    covariates=st.booleans(),
    small=st.booleans(),
    named=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_round_trip_predicts_the_same_bits(
    tmp_path_factory, link, affinity, benchmarks, covariates, small, named, seed
):
    distances, scores, family = family_world(40, benchmarks=benchmarks or 1, seed=seed)
    y = scores[:, 0] if benchmarks is None else scores
    if benchmarks == 3:
        y[5:9, 1] = np.nan
    X = distances if affinity == "distance" else np.exp(-distances)
    if named:
        X = pd.DataFrame(X, columns=[f"m{i}, é" for i in range(40)])
    extra = {"covariates": np.where(np.arange(40) % 7, np.arange(40.0), np.nan)}
    extra = extra if covariates else {}
    sizes = {"max_landmarks": 20, "max_support": 25} if small else {}
    model = BenchmarkRegressor(link, affinity, random_state=seed, **sizes)
    model.fit(X, y, groups=family, **extra)
    path = tmp_path_factory.mktemp("saved") / "model.npz"
    model.save(path)
    again = BenchmarkRegressor.load(path)
    assert same_bits(model.predict(X, **extra), again.predict(X, **extra))
    for one, two in zip(
        model.predict_interval(X, **extra), again.predict_interval(X, **extra), strict=True
    ):
        assert same_bits(one, two)
    assert model.get_params() == again.get_params()
    assert vars(model).keys() == vars(again).keys()
    before = path.read_bytes()
    again.save(path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    assert len(path.read_bytes()) == len(before)


def test_the_reference_too(tmp_path):
    distances, scores, _ = family_world(30)
    model = ReferenceRegressor(n_steps=50, random_state=None).fit(distances, scores[:, 0])
    model.save(tmp_path / "model.npz")
    again = ReferenceRegressor.load(tmp_path / "model.npz")
    assert same_bits(model.predict(distances), again.predict(distances))
    with pytest.raises(pp.FileFormatError, match="no BenchmarkRegressor"):
        BenchmarkRegressor.load(tmp_path / "model.npz")


@pytest.mark.parametrize("estimator", [BenchmarkRegressor(), ReferenceRegressor(n_steps=50)])
def test_skops_predicts_the_same_bits(estimator):
    skops = pytest.importorskip("skops.io")
    distances, scores, _ = family_world(30)
    model = estimator.fit(distances, scores[:, 0])
    data = skops.dumps(model)
    types = skops.get_untrusted_types(data=data)
    assert all(name.startswith("pyphylo.predict.") for name in types)
    again = skops.loads(data, trusted=types)
    assert same_bits(model.predict(distances), again.predict(distances))


def test_what_is_not_plain_or_not_fitted_is_refused(tmp_path):
    distances, scores, _ = family_world(20)
    path = tmp_path / "model.npz"
    with pytest.raises(NotFittedError):
        BenchmarkRegressor().save(path)
    odd = BenchmarkRegressor(random_state=np.random.RandomState(0)).fit(distances, scores)
    with pytest.raises(pp.InputError, match="random_state"):
        odd.save(path)
    assert not path.exists()
    with pytest.raises(pp.InputError, match="does not exist"):
        BenchmarkRegressor.load(path)


def rewritten(path, change):
    """The archive with its JSON changed."""
    with np.load(path) as archive:
        arrays = dict(archive)
    meta = json.loads(arrays["meta"].tobytes())
    change(meta)
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    with path.open("wb") as handle:
        np.savez(handle, **arrays)


@pytest.mark.parametrize(
    "change",
    [
        lambda meta: meta.update(version=2),
        lambda meta: meta.pop("state"),
        lambda meta: meta["state"].update(predict=1),
        lambda meta: meta["state"].update(_average={"Average": {"predict": 1}}),
        lambda meta: meta["state"].update(_average={"Popen": {}}),
        lambda meta: meta["state"].update(slope_={"array": "a999"}),
        lambda meta: meta["settings"].update(colour="red"),
    ],
)
def test_changed_files_are_refused(tmp_path, change):
    distances, scores, _ = family_world(20)
    path = tmp_path / "model.npz"
    BenchmarkRegressor().fit(distances, scores).save(path)
    rewritten(path, change)
    with pytest.raises(pp.FileFormatError, match=r"model\.npz"):
        BenchmarkRegressor.load(path)


def test_files_that_are_no_archive_or_hold_objects_are_refused(tmp_path):
    path = tmp_path / "model.npz"
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(pp.FileFormatError, match="not a whole NumPy archive"):
        BenchmarkRegressor.load(path)
    np.savez(path, meta=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(pp.FileFormatError, match="not a whole NumPy archive"):
        BenchmarkRegressor.load(path)
    np.savez(path, values=np.zeros(3))
    with pytest.raises(pp.FileFormatError, match="holds no estimator"):
        BenchmarkRegressor.load(path)

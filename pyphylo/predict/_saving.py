"""Fitted estimators as files of plain arrays: nothing in them is executed.

A NumPy archive holds ``meta`` (JSON: class, settings, and the fitted state with each array
replaced by its name) and the arrays ``a0``, ``a1``, ... No pickle.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from pyphylo._files import atomic_path, read_bytes
from pyphylo._formats import check_format_version
from pyphylo.errors import FileFormatError, InputError
from pyphylo.io._archive import read_arrays
from pyphylo.predict._covariates import Covariates
from pyphylo.predict._ensemble import Average, Vectors

__all__ = ["SavedAsArrays"]

_FORMAT = "pyphylo-estimator"
_VERSION = 1

_PARTS: dict[str, type[Any]] = {part.__name__: part for part in (Average, Covariates, Vectors)}
"""What fitted state may hold beside numbers, text and arrays of them."""

_S = TypeVar("_S", bound="SavedAsArrays")


class SavedAsArrays:
    """Adds `save` and `load` to an estimator whose fitted state is plain arrays."""

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator to a ``.npz`` file, settings included; no pickle.

        Raises
        ------
        NotFittedError
        InputError
            A setting is not plain: give `random_state` as a whole number.
        """
        check_is_fitted(self)
        settings = self.get_params(deep=False)  # type: ignore[attr-defined]
        arrays: dict[str, NDArray[Any]] = {}
        meta = {
            "format": _FORMAT,
            "version": _VERSION,
            "class": type(self).__name__,
            "settings": {k: _packed(v, k, arrays) for k, v in settings.items()},
            "state": {k: _packed(v, k, arrays) for k, v in vars(self).items() if k not in settings},
        }
        arrays["meta"] = np.frombuffer(json.dumps(meta, sort_keys=True).encode(), np.uint8)

        def fill(part: Path) -> None:
            with part.open("wb") as handle:
                np.savez(handle, **arrays)  # type: ignore[arg-type]

        atomic_path(path, fill)

    @classmethod
    def load(cls: type[_S], path: str | Path) -> _S:
        """Read what `save` wrote; it predicts the same bits.

        Raises
        ------
        FileFormatError
            The file is not whole, or of another estimator or version.
        """
        arrays = read_arrays(path, io.BytesIO(read_bytes(path, "estimator")))
        try:
            meta = json.loads(arrays["meta"].tobytes())
            is_ours = meta["format"] == _FORMAT
            version = meta["version"]
        except (KeyError, TypeError, ValueError, RecursionError):
            is_ours = False
        if not is_ours:
            raise FileFormatError(f"{str(path)!r} holds no estimator of pyphylo")
        check_format_version(f"estimator file {str(path)!r}", version, (_VERSION,))
        kind = meta.get("class")
        if kind != cls.__name__:
            raise FileFormatError(f"{str(path)!r} holds a {kind}, no {cls.__name__}")
        try:
            packed, state = meta["settings"], meta["state"].items()
            found = cls(**{k: _unpacked(v, arrays) for k, v in packed.items()})
            for name, value in state:
                if hasattr(cls, name):
                    raise ValueError(f"{name!r} is no fitted state")
                setattr(found, name, _unpacked(value, arrays))
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise FileFormatError(f"{str(path)!r} is damaged: {error}") from None
        return found


def _packed(value: Any, name: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """JSON of a value; its arrays go to `arrays`."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)):
        return {type(value).__name__: [_packed(v, name, arrays) for v in value]}
    if isinstance(value, np.ndarray) and value.dtype != object:
        key = f"a{len(arrays)}"
        arrays[key] = value
        return {"array": key}
    if isinstance(value, np.ndarray) and all(isinstance(v, str) for v in value.ravel()):
        return {"names": value.tolist()}
    if type(value).__name__ in _PARTS:
        fields = {k: _packed(v, k, arrays) for k, v in vars(value).items()}
        return {type(value).__name__: fields}
    raise InputError(
        f"{name}={value!r} cannot be saved as plain arrays: use numbers, such as random_state=0"
    )


def _unpacked(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return arrays[content]
    if kind == "names":
        return np.array(content, dtype=object)
    if kind in ("tuple", "list"):
        items = [_unpacked(v, arrays) for v in content]
        return tuple(items) if kind == "tuple" else items
    part = _PARTS[kind]
    found = object.__new__(part)
    for name, inner in content.items():
        if callable(getattr(part, name, None)):
            raise ValueError(f"{name!r} is no state of {kind}")
        setattr(found, name, _unpacked(inner, arrays))
    return found

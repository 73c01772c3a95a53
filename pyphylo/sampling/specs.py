"""What a caller names becomes a list of models: files of names, folders of checkpoints, patterns.

One MODEL as typed may stand for many: ``@models.txt`` for the lines of a file, a folder for
the checkpoints in it, ``org/name@step*`` for revisions of a hub model. Nothing here reads
weights; the hub is asked for the names of revisions only. The name of each model depends on
what was typed and on the checkpoint alone, so it is the same in every run.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pyphylo._files import read_bytes
from pyphylo._names import check_names
from pyphylo.errors import InputError, WorkError
from pyphylo.sampling._revisions import matching_revisions, natural_key

__all__ = ["NamedModel", "checkpoint_folders", "expand_models", "split_label"]

_WILD = re.compile(r"[*?\[]")
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_COMMENT = re.compile(r"(^|\s)#.*$")
_CHECKPOINT_FILES = ("config.json", "adapter_config.json")
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json")


@dataclass(frozen=True)
class NamedModel:
    """One model to be sampled.

    Parameters
    ----------
    name : str
        The tip's name.
    spec : str
        A folder, a GGUF file or a hub id, for a backend.
    origin : str
        Where it was named, for errors; empty for an argument.
    """

    name: str
    spec: str
    origin: str = ""


def expand_models(
    specs: Iterable[str | os.PathLike[str] | NamedModel] | Mapping[str, str],
    *,
    verbatim: bool = False,
) -> tuple[NamedModel, ...]:
    """Every single model that is meant.

    Parameters
    ----------
    specs : iterable of str, or mapping of name to model
        Each one of

        - a model: hub id ``org/name[@revision]``, folder, GGUF file;
        - ``org/name@PATTERN`` with ``*``, ``?`` or ``[...]``: branches and tags
          that match, named ``org/name@revision``;
        - a folder without weights of its own and with checkpoints in it: those,
          named ``folder/checkpoint``; or a pattern of paths;
        - ``label=`` in front of any: takes the place of what was typed in the names;
        - ``@FILE``: a file of such lines; ``#`` starts a comment.

        A mapping is taken as it is, one model a name, and so is what this
        function returned.
    verbatim : bool
        Models are a server's names: only labels and files of names are read.

    Returns
    -------
    tuple of NamedModel
        In the order given; revisions and checkpoints in natural order
        (``step9`` before ``step10``).

    Raises
    ------
    InputError
        An empty or repeated name, a pattern that matches nothing, a file that
        cannot be read; with the line, where there is one.
    WorkError
        When revisions cannot be listed: no hub, and none cached.
    """
    if isinstance(specs, Mapping):
        models = [NamedModel(name, os.fspath(spec)) for name, spec in specs.items()]
    else:
        models = [model for given in specs for model in _models(given, verbatim)]
    _check_unique(models)
    return tuple(models)


def split_label(text: str) -> tuple[str, str]:
    """``label=MODEL`` in two; the label is empty where there is none.

    A text that is the path of an existing file or folder is never split.
    """
    if not text:  # as a path it would be the working folder
        raise InputError("'' is no model: expected MODEL or label=MODEL")
    label, equals, model = text.partition("=")
    if not equals or Path(text).exists():
        return "", text
    if not label or not model:
        raise InputError(f"{text!r}: expected MODEL or label=MODEL")
    return label, model


def checkpoint_folders(folder: Path) -> list[Path]:
    """The checkpoints in a folder that holds no model itself, in natural order.

    A checkpoint is a subfolder with config.json or adapter_config.json (what a
    trainer writes beside them, logs or optimizer states, is passed over).
    """
    if not folder.is_dir() or _holds_model(folder):
        return []
    found = [
        child
        for child in folder.iterdir()
        if any((child / name).is_file() for name in _CHECKPOINT_FILES)
    ]
    return sorted(found, key=lambda child: natural_key(child.name))


def _holds_model(folder: Path) -> bool:
    if (folder / "adapter_config.json").is_file():
        return True
    return (folder / "config.json").is_file() and any(any(folder.glob(p)) for p in _WEIGHTS)


def _models(given: str | os.PathLike[str] | NamedModel, verbatim: bool) -> Iterator[NamedModel]:
    if isinstance(given, NamedModel):
        yield given
        return
    text = os.fspath(given)
    if text.startswith("@") and not Path(text).exists():
        for line, origin in _file_lines(text[1:]):
            yield from _expand(line, origin, verbatim)
    else:
        yield from _expand(text, "", verbatim)


def _file_lines(path: str) -> Iterator[tuple[str, str]]:
    if not path:
        raise InputError("'@' names no file of models: expected @FILE")
    try:
        text = read_bytes(path, "models").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"models file {path!r} is not UTF-8 ({error.reason})") from None
    found = False
    for number, line in enumerate(text.splitlines(), 1):
        spec = _COMMENT.sub("", line).strip()
        if not spec:
            continue
        origin = f"models file {path!r}, line {number}"
        if spec.startswith("@"):
            raise InputError(f"{origin}: {spec!r} is another file; name each file by itself")
        found = True
        yield spec, origin
    if not found:
        raise InputError(f"models file {path!r} names no model")


def _expand(text: str, origin: str, verbatim: bool) -> Iterator[NamedModel]:
    try:
        label, spec = split_label(text)
        name = label or spec
        pairs = [(name, spec)] if verbatim else list(_members(name, spec))
    except (InputError, WorkError) as error:
        raise type(error)(_placed(origin, str(error))) from None
    for name, member in pairs:
        yield NamedModel(name, member, origin)


def _members(name: str, spec: str) -> Iterator[tuple[str, str]]:
    """Names and models of one spec: itself, or what it stands for."""
    path = Path(spec).expanduser()
    if not path.exists() and _WILD.search(spec):
        yield from _matches(name, spec)
        return
    checkpoints = checkpoint_folders(path)
    if not checkpoints:
        yield name, spec
    stem, folder = (text.rstrip("/" + os.sep) for text in (name, spec))
    for checkpoint in checkpoints:
        member = f"{folder}/{checkpoint.name}"
        yield f"{stem}/{checkpoint.name}", member


def _matches(name: str, spec: str) -> Iterator[tuple[str, str]]:
    """What a pattern matches: paths, which go first, or revisions of a hub model."""
    paths = sorted(glob.glob(str(Path(spec).expanduser())), key=natural_key)  # noqa: PTH207
    models = [path for path in paths if Path(path).is_file() or _is_checkpoint(Path(path))]
    repo, _, pattern = spec.partition("@")
    if models:
        for path in models:
            yield path if name == spec else f"{name}/{Path(path).name}", path
    elif _REPO.fullmatch(repo) and pattern:
        stem = repo if name == spec else name
        for revision in sorted(matching_revisions(spec, repo, pattern), key=natural_key):
            yield f"{stem}@{revision}", f"{repo}@{revision}"
    else:
        found = f"matches {len(paths)} paths, none a model" if paths else "matches no path"
        raise InputError(f"model pattern {spec!r} {found}")


def _is_checkpoint(path: Path) -> bool:
    return any((path / name).is_file() for name in _CHECKPOINT_FILES)


def _check_unique(models: list[NamedModel]) -> None:
    """Each name once; where two lines give the same, both are told."""
    seen: dict[str, NamedModel] = {}
    for model in models:
        first = seen.setdefault(model.name, model)
        if first is not model and (first.origin or model.origin):
            places = " and ".join(m.origin or "the arguments" for m in (first, model))
            raise InputError(f"model {model.name!r} occurs twice, in {places}; rename one (label=)")
    check_names((model.name for model in models), "model")


def _placed(origin: str, text: str) -> str:
    return f"{origin}: {text}" if origin else text

"""Declared parents from Hugging Face Hub model cards (``base_model`` in the card's header)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyphylo.errors import FileFormatError, InputError, WorkError

__all__ = ["card_base_models", "fill_base_models"]


def fill_base_models(
    metadata: Mapping[str, Mapping[str, str]], column: str = "hf_id"
) -> dict[str, dict[str, str]]:
    """Metadata with ``base_model`` filled in from model cards where it was empty.

    Parameters
    ----------
    metadata : mapping
        Rows by model, as `pyphylo.io.metadata.read_metadata` reads them.
    column : str
        Names each model's card: a Hub id, or the path of a card file. Rows
        without it, and those that have a ``base_model``, stay as they are.

    Returns
    -------
    dict
        New rows. A base that some model's `column` names becomes that model's name;
        any other stays a Hub id: a parent that is not here. A card that names no base, or
        several (a merge has no one parent), fills nothing.

    Raises
    ------
    WorkError
        When the Hub cannot be reached, or does not give the card.
    InputError
        What is neither a Hub id nor a file; a card whose header cannot be read.

    Notes
    -----
    One small download for each model that is asked for, kept in the Hub's cache.
    """
    name_of = {row[column]: model for model, row in metadata.items() if row.get(column)}
    filled = {}
    for model, row in metadata.items():
        filled[model] = dict(row)
        if row.get("base_model") or not row.get(column):
            continue
        bases = card_base_models(row[column])
        if len(bases) == 1 and name_of.get(bases[0]) != model:
            filled[model]["base_model"] = name_of.get(bases[0], bases[0])
    return filled


def card_base_models(card: str) -> tuple[str, ...]:
    """The base models that a card names: none, one, or several of a merge.

    Parameters
    ----------
    card : str
        A Hub id (org/name), or the path of a card file. A Hub model without
        a card names none.
    """
    from huggingface_hub import ModelCard
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    try:
        named = ModelCard.load(card).data.get("base_model")
    except LocalEntryNotFoundError as error:
        raise _out_of_reach(card, error) from None
    except HFValidationError:
        raise InputError(
            f"{card!r} is neither a Hub id (org/name) nor the path of a model card"
        ) from None
    except EntryNotFoundError:
        return ()
    except (OSError, RuntimeError) as error:
        raise _out_of_reach(card, error) from None
    except Exception as error:  # the header is YAML, whose parsers raise errors of their own
        raise _unreadable(card, error) from None
    return _checked(card, named)


def _out_of_reach(card: str, error: Exception) -> WorkError:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return WorkError(
        f"the model card of {card!r} cannot be had ({reason[0]}): check the name and the network, "
        "or write base_model into the metadata by hand"
    )


def _unreadable(card: str, error: Exception) -> FileFormatError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return FileFormatError(f"the model card of {card!r} has no readable header: {reason}")


def _checked(card: str, named: Any) -> tuple[str, ...]:
    """One name or a list of them, as cards may have it."""
    names = [named] if isinstance(named, str) else named or []
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise FileFormatError(f"the model card of {card!r}: base_model is {named!r}, not a name")
    return tuple(dict.fromkeys(names))

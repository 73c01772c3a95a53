"""Options of ``pyphylo tree`` that say where its root is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyphylo._names import did_you_mean
from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = ["add_root_options", "check_root", "has_root", "rooted"]

_RULES = ("midpoint", "mad")


def add_root_options(parser: argparse.ArgumentParser) -> None:
    """Where the root goes: one way or another."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--root", metavar="midpoint|mad|NAME", help="root the tree (default: unrooted)"
    )
    group.add_argument(
        "--outgroup",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="root it on the branch that parts these models from all others",
    )


def has_root(args: argparse.Namespace) -> bool:
    """Whether the call says where the root is."""
    return args.root is not None or args.outgroup is not None


def check_root(args: argparse.Namespace, names: Sequence[str]) -> None:
    """Refuse what no tree of these models could be rooted by, before one is built."""
    if args.root is not None and args.root not in _RULES:
        _check_name(args.root, names, "--root")
    for name in args.outgroup or ():
        _check_name(name, names, "--outgroup")
    if args.outgroup is not None and set(args.outgroup) == set(names):
        raise InputError(
            f"--outgroup names all {len(names)} models; leave out those that it is outside of"
        )


def _check_name(name: str, names: Sequence[str], option: str) -> None:
    if name in names:
        return
    hint = did_you_mean(name, names)
    raise InputError(f"{option}: there is no model {name!r} in the matrix{hint}")


def rooted(args: argparse.Namespace, tree: Tree) -> Tree:
    """The tree with the root that was asked for, if one was."""
    if args.outgroup is not None:
        return tree.root_at(outgroup=args.outgroup)
    return tree if args.root is None else tree.root_at(args.root)

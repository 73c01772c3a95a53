"""Newick, read and written without recursion and without losing a character or a bit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pyphylo.errors import FileFormatError
from pyphylo.tree._arrays import Layout, TreeArrays, numbered

__all__ = [
    "NUMBER",
    "Reader",
    "Token",
    "error_at",
    "format_tree",
    "parse",
    "parse_all",
    "quoted",
    "tokens",
]

_PLAIN_NAME = re.compile(r"(?!<)[A-Za-z0-9.@/+|~^=!$%&*<>?-]+")
"""Names that every reader takes as they are, without quotes; none makes a tree look like XML."""
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
"""No digit can be matched in two ways: a long number that is none is told in linear time."""
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<mark>[(),:;])
    | (?P<word>[^\s()\[\]':;,]+)
    | (?P<quoted>'[^']*(?:''[^']*)*')
    | (?P<bracket>\[)""",
    re.VERBOSE,
)
_SUPPORT_COMMENT = "&support="


class Token(NamedTuple):
    """A piece of the text and the place where it begins."""

    kind: str  # "mark", "word", "quoted" or "comment"
    text: str
    at: int


def parse(text: str) -> TreeArrays:
    """Read one tree.

    Raises
    ------
    FileFormatError
        Naming line and column.
    """
    reader = Reader(text)
    for token in tokens(text):
        if reader.done and token.kind != "comment":
            raise error_at(
                text,
                token.at,
                "text after the tree's end; of several trees choose one: "
                "pyphylo.io.trees.read_trees(path)[0] is the first",
            )
        reader.take(token)
    return reader.finish()


def parse_all(text: str) -> list[TreeArrays]:
    """Read one tree or several, one behind the other; errors as of `parse`."""
    trees: list[TreeArrays] = []
    reader = Reader(text)
    for token in tokens(text):
        if reader.done and token.kind != "comment":
            trees.append(reader.finish())
            reader = Reader(text)
        reader.take(token)
    return [*trees, reader.finish()]


def _where(text: str, at: int) -> str:
    line = text.count("\n", 0, at) + 1
    return f"line {line}, column {at - text.rfind(chr(10), 0, at)}"


def error_at(text: str, at: int, message: str) -> FileFormatError:
    """An error at a place of the text, by line and column."""
    return FileFormatError(f"{_where(text, at)}: {message}")


def tokens(text: str) -> Iterator[Token]:
    """Cut text into marks, words, quoted names and comments, as Newick and NEXUS have them."""
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            if text[at] == "'":
                raise error_at(text, at, "a quoted name is not closed: a ' is missing")
            raise error_at(text, at, "a ] without its [")
        kind = match.lastgroup or ""
        if kind == "bracket":
            end = _comment_end(text, at)
            yield Token("comment", text[at + 1 : end - 1], at)
            at = end
            continue
        if kind == "quoted":
            yield Token(kind, match[0][1:-1].replace("''", "'"), at)
        elif kind != "space":
            yield Token(kind, match[0], at)
        at = match.end()


def _comment_end(text: str, at: int) -> int:
    """Behind the bracket that closes the comment; brackets nest."""
    depth = 0
    for match in re.compile(r"[\[\]]").finditer(text, at):
        depth += 1 if match[0] == "[" else -1
        if depth == 0:
            return match.end()
    raise error_at(text, at, "a comment is not closed: a ] is missing")


class Reader:
    """What was read so far. Nodes are numbered as they begin, and renumbered at the end.

    `names` says what tips are called that stand under other names in `text`.
    """

    def __init__(self, text: str, names: Mapping[str, str] | None = None) -> None:
        self.text = text
        self.names = names or {}
        self.parent: list[int] = []
        self.name: list[str | None] = []
        self.length: list[float] = []
        self.support: list[float] = []
        self.first_at: dict[str, int] = {}
        self.open: list[tuple[int, int]] = []  # (node, place of its parenthesis)
        self.node = -1  # the node that was completed last
        self.may_name = self.may_length = False
        self.in_subtree = False  # a node was completed: "," or ")" or ";" may follow
        self.in_length = False
        self.done = False

    def take(self, token: Token) -> None:
        """Go on by one token."""
        if token.kind == "comment":
            self._take_comment(token)
        elif self.in_length:
            self._take_length(token)
        elif not self.in_subtree:
            self._take_start(token)
        elif token.kind == "mark":
            self._take_mark(token)
        elif self.may_name:
            self._take_inner_name(token)
        else:
            raise error_at(
                self.text,
                token.at,
                f"expected , ) : or ; but found {token.text[:40]!r}; "
                "names with spaces are written in single quotes",
            )

    def _add_node(self) -> int:
        self.parent.append(self.open[-1][0] if self.open else -1)
        self.name.append(None)
        self.length.append(math.nan)
        self.support.append(math.nan)
        return len(self.parent) - 1

    def _take_start(self, token: Token) -> None:
        """The first token of a subtree: an open parenthesis or a tip's name."""
        if token.kind == "mark" and token.text == "(":
            self.open.append((self._add_node(), token.at))
            return
        if token.kind == "mark" or not token.text:
            raise error_at(
                self.text,
                token.at,
                f"expected a tip's name or ( but found {token.text or 'an empty name'!r}",
            )
        if token.kind == "word" and token.text.upper() == "#NEXUS":
            raise error_at(self.text, token.at, "this is NEXUS; Tree.read takes it from a file")
        name = self.names.get(token.text, token.text)
        if name in self.first_at:
            raise error_at(
                self.text,
                token.at,
                f"tip {name!r} occurs twice, first at "
                f"{_where(self.text, self.first_at[name])}; names are unique",
            )
        self.first_at[name] = token.at
        self.node = self._add_node()
        self.name[self.node] = name
        self.in_subtree, self.may_name, self.may_length = True, False, True

    def _take_mark(self, token: Token) -> None:
        """What follows a completed node."""
        if token.text == ":" and self.may_length:
            self.in_length, self.may_name, self.may_length = True, False, False
        elif token.text == "," and self.open:
            self.in_subtree = False
        elif token.text == ")" and self.open:
            self.node, _ = self.open.pop()
            self.may_name = self.may_length = True
        elif token.text == ";" and not self.open:
            self.done = True
        elif token.text == ";":
            raise self._not_closed(token.at)
        elif token.text == ")":
            raise error_at(self.text, token.at, "a ) without its (")
        elif token.text == ",":
            raise error_at(self.text, token.at, "a comma outside all parentheses")
        else:
            raise error_at(self.text, token.at, f"a {token.text} is out of place")

    def _take_length(self, token: Token) -> None:
        if token.kind != "word":
            raise error_at(self.text, token.at, f"expected a length but found {token.text[:40]!r}")
        if token.text.lower() != "nan":
            self.length[self.node] = self._number(token, "length")
        self.in_length = False

    def _take_inner_name(self, token: Token) -> None:
        """A number without quotes is a support, anything else a name."""
        if token.kind == "word" and NUMBER.fullmatch(token.text):
            self.support[self.node] = self._number(token, "support")
        else:
            self.name[self.node] = token.text or None
        self.may_name = False

    def _take_comment(self, token: Token) -> None:
        if self.in_subtree and not self.done and token.text.startswith(_SUPPORT_COMMENT):
            number = token._replace(text=token.text.removeprefix(_SUPPORT_COMMENT))
            self.support[self.node] = self._number(number, "support")

    def _number(self, token: Token, what: str) -> float:
        if not NUMBER.fullmatch(token.text):
            raise error_at(self.text, token.at, f"the {what} {token.text[:40]!r} is not a number")
        value = float(token.text)
        if math.isinf(value):
            raise error_at(self.text, token.at, f"the {what} {token.text[:40]} is too large")
        return value

    def _not_closed(self, at: int) -> FileFormatError:
        where = _where(self.text, self.open[-1][1])
        return error_at(
            self.text, at, f"{len(self.open)} ( without their ), the innermost at {where}"
        )

    def finish(self) -> TreeArrays:
        """The tree, numbered tips first and parents behind children."""
        end = len(self.text)
        if not self.parent:
            raise error_at(self.text, end, "there is no tree")
        if not self.done:
            if self.open:
                raise self._not_closed(end)
            raise error_at(self.text, end, "the ; that ends a tree is missing")
        return numbered(self.parent, self.name, self.length, self.support)


def format_tree(tree: TreeArrays, of: Layout, plain: re.Pattern[str] = _PLAIN_NAME) -> str:
    """Write a tree, without a line end; names that `plain` does not match are quoted."""
    n_tips, root = len(tree.tips), len(tree.parent) - 1
    first, below = of.first_child.tolist(), of.children.tolist()
    parts: list[str] = []
    # What is still to be written, last first: a node, ~node for the end of one, or text.
    stack: list[int | str] = [root]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            parts.append(item)
        elif item < 0 or item < n_tips:
            node = ~item if item < 0 else item
            parts.append(_node_text(tree, node, plain))
            if node != root and not math.isnan(tree.length[node]):
                parts.append(f":{_number_text(tree.length[node])}")
        else:
            parts.append("(")
            stack.extend((~item, ")"))
            for child in reversed(below[first[item] : first[item + 1]]):
                stack.extend((child, ","))
            stack.pop()
    parts.append(";")
    return "".join(parts)


def _node_text(tree: TreeArrays, node: int, plain: re.Pattern[str]) -> str:
    n_tips = len(tree.tips)
    if node < n_tips:
        return quoted(tree.tips[node], plain)
    label, support = tree.labels[node - n_tips], tree.support[node]
    known = not math.isnan(support)
    if not label:
        return _number_text(support) if known else ""
    text = quoted(label, plain, always=NUMBER.fullmatch(label) is not None)
    return text + (f"[{_SUPPORT_COMMENT}{_number_text(support)}]" if known else "")


def quoted(name: str, plain: re.Pattern[str], always: bool = False) -> str:
    """The name, in single quotes unless `plain` matches it."""
    if plain.fullmatch(name) and not always:
        return name
    doubled = name.replace("'", "''")
    return f"'{doubled}'"


def _number_text(value: float) -> str:
    return repr(value).removesuffix(".0")

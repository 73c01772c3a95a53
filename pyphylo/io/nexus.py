"""Trees in NEXUS: TAXA and TREES blocks, TRANSLATE, quotes and comments.

Names are read literally, as in Newick: an underscore stays one. A tip that is a number
is the taxon of that number, where neither TRANSLATE nor TAXLABELS has it as a name. Other
blocks and commands are passed over (Maddison, Swofford & Maddison 1997, Syst Biol 46,
590-621).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pyphylo.errors import FileFormatError
from pyphylo.tree._arrays import TreeArrays
from pyphylo.tree.newick import Reader, Token, error_at, format_tree, quoted, tokens

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = ["format_nexus", "parse_all"]

_PLAIN_NAME = re.compile(r"[A-Za-z0-9.@|^!$%&?]*[A-Za-z][A-Za-z0-9.@|^!$%&?]*")
"""Names without the punctuation of NEXUS, and unlike a taxon's number."""
_TREE_COMMANDS = ("tree", "utree", "rtree")


def parse_all(text: str) -> list[TreeArrays]:
    """Read the trees of all TREES blocks, in order.

    Raises
    ------
    FileFormatError
        Naming line and column.
    """
    return _Nexus(text).read()


class _Nexus:
    """A file, command by command; a command ends at its semicolon."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens(text)
        self.block: Token | None = None
        self.taxa: list[str] = []
        self.translated: dict[str, str] = {}
        self.names: dict[str, str] | None = None  # of both, made once for all trees of a block
        self.trees: list[TreeArrays] = []

    def read(self) -> list[TreeArrays]:
        head = self._next()
        if head is None or head.text.upper() != "#NEXUS":
            raise error_at(self.text, 0, "a NEXUS file begins with #NEXUS")
        while (command := self._next()) is not None:
            self._command(command)
        end = len(self.text)
        if self.block is not None:
            name = self.block.text.upper()
            raise error_at(self.text, end, f"block {name} is not closed: END; is missing")
        if not self.trees:
            raise error_at(self.text, end, "there is no tree: no TREES block holds a TREE")
        return self.trees

    def _next(self) -> Token | None:
        return next((token for token in self.tokens if token.kind != "comment"), None)

    def _expect(self, command: Token, wanted: str) -> Token:
        """The next token of a command that has to go on."""
        token = self._next()
        if token is None:
            raise self._cut_off(command)
        if _is_mark(token, ";"):
            raise error_at(
                self.text, token.at, f"{command.text.upper()} ends where {wanted} is expected"
            )
        return token

    def _cut_off(self, command: Token) -> FileFormatError:
        return error_at(
            self.text,
            len(self.text),
            f"the ; that ends {command.text[:40]} is missing; is the file cut off?",
        )

    def _rest(self, command: Token) -> list[Token]:
        """The tokens up to the command's semicolon."""
        found: list[Token] = []
        while (token := self._next()) is not None:
            if _is_mark(token, ";"):
                return found
            found.append(token)
        raise self._cut_off(command)

    def _command(self, command: Token) -> None:
        kind = command.text.lower() if command.kind == "word" else ""
        block = "" if self.block is None else self.block.text.lower()
        if _is_mark(command, ";"):
            return
        if kind == "begin":
            self._begin(command)
        elif kind in ("end", "endblock"):
            if self.block is None:
                raise error_at(self.text, command.at, f"{command.text} without BEGIN")
            self._rest(command)
            self.block = None
        elif kind == "taxlabels":
            self.taxa, self.names = [token.text for token in self._rest(command)], None
        elif block == "trees" and kind == "translate":
            self._translate(command)
        elif block == "trees" and kind in _TREE_COMMANDS:
            self._tree(command)
        elif self.block is None:
            raise error_at(self.text, command.at, f"expected BEGIN but found {command.text[:40]!r}")
        else:
            self._rest(command)

    def _begin(self, command: Token) -> None:
        if self.block is not None:
            raise error_at(
                self.text,
                command.at,
                f"BEGIN before block {self.block.text.upper()} is closed: END; is missing",
            )
        self.block = self._expect(command, "a block's name")
        self._rest(command)
        self.translated, self.names = {}, None

    def _translate(self, command: Token) -> None:
        """Pairs of a short and a full name, with commas between."""
        pair: list[Token] = []
        self.names = None
        for token in [*self._rest(command), Token("mark", ",", len(self.text))]:
            if token.kind != "mark":
                pair.append(token)
                continue
            if not pair and token.at == len(self.text):
                break  # a comma behind the last pair
            if len(pair) != 2 or token.text != "," or not pair[1].text:
                at = pair[0].at if pair else token.at
                raise error_at(self.text, at, "TRANSLATE takes pairs of names with commas between")
            if pair[0].text in self.translated:
                raise error_at(
                    self.text, pair[0].at, f"TRANSLATE has {pair[0].text!r} a second time"
                )
            self.translated[pair[0].text] = pair[1].text
            pair = []

    def _tree(self, command: Token) -> None:
        """``TREE [*] name = [&R] newick``, the equals sign with or without blanks."""
        reader = Reader(self.text, self._names())
        token = self._expect(command, "a tree's name")
        if token.text == "*" and token.kind == "word":
            token = self._expect(command, "a tree's name")
        if "=" not in token.text or token.kind != "word":
            if token.kind == "mark":
                raise error_at(
                    self.text, token.at, f"expected a tree's name but found {token.text!r}"
                )
            token = self._expect(command, "=")
        before, equals, behind = token.text.partition("=")
        if token.kind != "word" or not equals:
            raise error_at(self.text, token.at, f"expected = but found {token.text[:40]!r}")
        if behind:
            reader.take(Token("word", behind, token.at + len(before) + 1))
        while not reader.done:
            following = next(self.tokens, None)
            if following is None:
                break
            reader.take(following)
        self.trees.append(reader.finish())

    def _names(self) -> dict[str, str]:
        if self.names is None:
            numbers = {str(number): name for number, name in enumerate(self.taxa, 1)}
            self.names = {**numbers, **{name: name for name in self.taxa}, **self.translated}
        return self.names


def _is_mark(token: Token, text: str) -> bool:
    return token.kind == "mark" and token.text == text


def format_nexus(tree: Tree) -> str:
    """Write a tree with its TAXA block; any name survives."""
    labels = "".join(f"\n    {quoted(name, _PLAIN_NAME)}" for name in tree.tips)
    newick = format_tree(tree._flat, tree._layout, _PLAIN_NAME)
    return (
        f"#NEXUS\nBEGIN TAXA;\n  DIMENSIONS NTAX={tree.n_tips};\n  TAXLABELS{labels};\nEND;\n"
        f"BEGIN TREES;\n  TREE tree = [&{'R' if tree.is_rooted else 'U'}] {newick}\nEND;\n"
    )

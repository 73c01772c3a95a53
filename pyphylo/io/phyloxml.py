"""Trees in phyloXML (Han & Zmasek 2009, BMC Bioinformatics 10, 356).

Of each clade its name, branch length and first confidence are read; all else is passed
over. The format's names collapse white space, so a name that would change is not written.
Documents with a DTD are refused: no entity is ever expanded.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING
from xml.parsers import expat
from xml.sax.saxutils import escape

from pyphylo.errors import FileFormatError, InputError
from pyphylo.tree._arrays import TreeArrays, numbered
from pyphylo.tree.newick import NUMBER

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = ["check_name", "format_phyloxml", "parse_all"]

_NAMESPACE = "http://www.phyloxml.org"
_FOREIGN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Characters that XML 1.0 has no way to write."""
_SPACE = re.compile("[ \t\r\n]+")
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    f'<phyloxml xmlns="{_NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    f'xsi:schemaLocation="{_NAMESPACE} {_NAMESPACE}/1.20/phyloxml.xsd">\n'
)


def parse_all(data: bytes) -> list[TreeArrays]:
    """Read the phylogenies of a document.

    Raises
    ------
    FileFormatError
        Naming line and column.
    """
    return _Document().read(data)


class _Document:
    """What was read so far; the elements that are open, the outermost first."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.elements: list[str] = []
        self.text: list[str] = []
        self.trees: list[TreeArrays] = []
        self._clear()

    def _clear(self) -> None:
        self.parent: list[int] = []
        self.name: list[str | None] = []
        self.length: list[float] = []
        self.support: list[float] = []
        self.is_tip: list[bool] = []
        self.clades: list[int] = []  # those that are open
        self.tips: dict[str, str] = {}  # name to place

    def read(self, data: bytes) -> list[TreeArrays]:
        try:
            self.parser.Parse(data, True)
        except expat.ExpatError as error:
            raise FileFormatError(
                f"line {error.lineno}, column {error.offset + 1}: "
                f"{expat.ErrorString(error.code)}; is the file cut off or no XML?"
            ) from None
        except (LookupError, UnicodeError) as error:
            raise self._error(f"{error}; write the file in UTF-8") from None
        if not self.trees:
            raise self._error("there is no phylogeny")
        return self.trees

    def _where(self) -> str:
        return f"line {self.parser.CurrentLineNumber}, column {self.parser.CurrentColumnNumber + 1}"

    def _error(self, message: str) -> FileFormatError:
        return FileFormatError(f"{self._where()}: {message}")

    def _doctype(self, name: str, system: str | None, public: str | None, inner: bool) -> None:
        raise self._error("a document type definition is not read; remove the <!DOCTYPE …>")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        space, _, local = tag.rpartition(" ")
        element = local if space in ("", _NAMESPACE) else ""
        above = self.elements[-1] if self.elements else None
        if above is None and element != "phyloxml":
            raise self._error(f"expected <phyloxml> but found <{local[:40]}>")
        if element == "clade":
            self._start_clade(above, attributes)
        self.elements.append(element)
        self.text = []

    def _start_clade(self, above: str | None, attributes: dict[str, str]) -> None:
        if above not in ("phylogeny", "clade") or (above == "phylogeny" and self.parent):
            raise self._error("a <clade> stands in another one, or alone in a <phylogeny>")
        if self.clades:
            self.is_tip[self.clades[-1]] = False
        given = attributes.get("branch_length")
        self.clades.append(len(self.parent))
        self.parent.append(self.clades[-2] if len(self.clades) > 1 else -1)
        self.name.append(None)
        self.length.append(math.nan if given is None else self._number(given, "length"))
        self.support.append(math.nan)
        self.is_tip.append(True)

    def _characters(self, text: str) -> None:
        self.text.append(text)

    def _end(self, tag: str) -> None:
        element = self.elements.pop()
        above = self.elements[-1] if self.elements else None
        text = _SPACE.sub(" ", "".join(self.text)).strip(" ")
        if element == "clade":
            self._end_clade()
        elif element == "phylogeny" and above == "phyloxml":
            self._end_tree()
        elif above == "clade" and text:
            node = self.clades[-1]
            if element == "name":
                self.name[node] = text
            elif element == "branch_length":
                self.length[node] = self._number(text, "length")
            elif element == "confidence" and math.isnan(self.support[node]):
                self.support[node] = self._number(text, "confidence")
        self.text = []

    def _end_clade(self) -> None:
        node = self.clades.pop()
        if not self.is_tip[node]:
            return
        # A branch to a tip is in every tree: what some programs call its support says nothing.
        self.support[node] = math.nan
        name = self.name[node]
        if name is None:
            raise self._error("the clade that ends here is a tip without a <name>")
        if name in self.tips:
            raise self._error(
                f"tip {name!r} occurs twice, first at {self.tips[name]}; names are unique"
            )
        self.tips[name] = self._where()

    def _end_tree(self) -> None:
        if not self.parent:
            raise self._error("the <phylogeny> that ends here has no <clade>")
        self.trees.append(numbered(self.parent, self.name, self.length, self.support))
        self._clear()

    def _number(self, text: str, what: str) -> float:
        if text.lower() == "nan":
            return math.nan
        value = float(text) if NUMBER.fullmatch(text) else math.inf
        if math.isinf(value):
            raise self._error(f"the {what} {text[:40]!r} is not a number, or too large")
        return value


def format_phyloxml(tree: Tree) -> str:
    """Write a tree.

    Raises
    ------
    InputError
        When XML cannot hold a name, or the format would change it.
    """
    parts = [_HEAD, f'<phylogeny rooted="{"true" if tree.is_rooted else "false"}">\n']
    length, support = tree.length.tolist(), tree.support.tolist()
    stack = [tree.root]  # what is still to be written, last first: a node, or ~node for its end
    while stack:
        node = stack.pop()
        if node < 0:
            parts.append("</clade>\n")
            continue
        parts.append("<clade>")
        name = tree.label(node)
        if name:
            check_name(name, "tip" if node < tree.n_tips else "label")
            parts.append(f"<name>{escape(name)}</name>")
        if node != tree.root and not math.isnan(length[node]):
            parts.append(f"<branch_length>{length[node]!r}</branch_length>")
        if not math.isnan(support[node]):
            parts.append(f'<confidence type="support">{support[node]!r}</confidence>')
        stack.append(~node)
        if node >= tree.n_tips:
            parts.append("\n")
            stack.extend(reversed(tree.children(node).tolist()))
    parts.append("</phylogeny>\n</phyloxml>\n")
    return "".join(parts)


def check_name(name: str, what: str) -> None:
    """Refuse a name that XML cannot hold, or that its readers would change."""
    foreign = _FOREIGN.search(name)
    if foreign is not None:
        raise InputError(
            f"{what} {name!r}: phyloXML cannot hold the character {foreign[0]!r}; rename it or "
            "write .nwk or .nex"
        )
    if _SPACE.sub(" ", name).strip(" ") != name:
        raise InputError(
            f"{what} {name!r}: phyloXML collapses white space; rename it or write .nwk or .nex"
        )

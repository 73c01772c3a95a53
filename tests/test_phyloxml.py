"""phyloXML: every bit, names or refusals, what Biopython makes of it, errors with their place."""

import io
import re

import pytest
from drawn_formats import HOSTILE, by_clade, caterpillar, labelled_trees, names
from hypothesis import given, settings
from hypothesis import strategies as st

from pyphylo.errors import FileFormatError, InputError
from pyphylo.io.phyloxml import format_phyloxml, parse_all
from pyphylo.io.trees import read_trees
from pyphylo.tree import Tree

FEW = settings(max_examples=150, deadline=None)
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def parsed(text):
    return [Tree(*arrays) for arrays in parse_all(text.encode())]


def fits(name):
    """Whether the format can hold a name: no forbidden character, no blanks to collapse."""
    return not FORBIDDEN.search(name) and " ".join(re.split("[ \t\r\n]+", name)).strip(" ") == name


holdable = names.map(lambda name: FORBIDDEN.sub("?", name)).map(
    lambda name: re.sub("[ \t\r\n]+", " ", name).strip(" ") or "_"
)


@FEW
@given(labelled_trees(holdable))
def test_round_trip_keeps_every_name_and_bit(tree):
    (again,) = parsed(format_phyloxml(tree))
    assert by_clade(again) == by_clade(tree)
    assert again == tree


@pytest.mark.parametrize(
    "name", [*HOSTILE, "a\x00b", "\x1b[0m", "\ufffe", "a  b", "\x85", "\u2028"]
)
def test_a_name_survives_or_is_refused_by_name(name, tmp_path):
    tree = Tree([name, "other"], [2, 2, -1], [0.1, 1e-300, 0])
    path = tmp_path / "tree.xml"
    if fits(name):
        tree.write(path)
        assert Tree.read(path) == tree
        assert Tree.read(path).tips[0] == name
    else:
        with pytest.raises(InputError, match=re.escape(f"tip {name!r}: phyloXML c")):
            tree.write(path)
        assert not path.exists()


def test_a_label_that_cannot_be_held_is_refused(tmp_path):
    for label in ("\x07", "\ud800"):
        tree = Tree(["a", "b"], [2, 2, -1], labels=[label])
        with pytest.raises(InputError, match=re.escape(f"label {label!r}: phyloXML cannot hold")):
            tree.write(tmp_path / "tree.phyloxml")
    for suffix in ("nwk", "nex"):
        with pytest.raises(InputError, match="half a surrogate pair"):
            tree.write(tmp_path / f"tree.{suffix}")
    assert list(tmp_path.iterdir()) == []


FOREIGN = """<?xml version="1.0" encoding="ISO-8859-1"?>
<!-- <clade> --><phy:phyloxml xmlns:phy="http://www.phyloxml.org" xmlns:x="http://other">
<phy:phylogeny rooted="true"><phy:name>not a clade's</phy:name>
  <phy:clade branch_length="7"><phy:name> the
       root </phy:name>
    <phy:clade branch_length="0.5"><phy:confidence type="bootstrap">89</phy:confidence>
      <phy:confidence type="probability">0.9</phy:confidence>
      <phy:clade><phy:name>A &amp; &#x42;</phy:name><phy:branch_length> 1e-3 </phy:branch_length>
        <phy:sequence><phy:name>no</phy:name></phy:sequence></phy:clade>
      <phy:clade><phy:name><![CDATA[<b>]]></phy:name><phy:confidence type="b">1</phy:confidence>
      </phy:clade>
    </phy:clade>
    <phy:clade><x:clade><x:name>no</x:name></x:clade><phy:name>\u00fc</phy:name></phy:clade>
  </phy:clade>
</phy:phylogeny>
<phy:phylogeny rooted="false"><phy:clade><phy:name>alone</phy:name></phy:clade></phy:phylogeny>
</phy:phyloxml>
"""


def test_what_other_programs_write(tmp_path):
    path = tmp_path / "foreign.xml"
    path.write_text(FOREIGN, encoding="latin-1")
    first, second = read_trees(path)
    assert first.newick() == "(('A & B':0.001,'<b>')89:0.5,'\u00fc')'the root';"
    assert second.newick() == "alone;"
    with pytest.raises(FileFormatError, match=r"foreign\.xml: 2 trees, .*read_trees"):
        Tree.read(path)


def document(inner):
    return f'<phyloxml xmlns="http://www.phyloxml.org">\n<phylogeny>{inner}</phylogeny></phyloxml>'


TWO = "<clade><clade><name>a</name></clade><clade><name>{}</name></clade></clade>"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_phyloxml_is_known_by_its_head_too(encoding, tmp_path):
    tree = Tree.from_newick("((a:1,b:2):1,<x>:3);")
    text = format_phyloxml(tree).replace('encoding="UTF-8"', "")
    path = tmp_path / "tree.txt"
    path.write_text(text, encoding=encoding)
    assert Tree.read(path) == tree
    lone = Tree(["<x>"], [-1])
    lone.write(path)
    assert Tree.read(path) == lone


def test_encodings_that_nobody_knows(tmp_path):
    path = tmp_path / "t.xml"
    path.write_text("<?xml version='1.0' encoding='nope'?><phyloxml/>")
    with pytest.raises(FileFormatError, match=r"line 1, column 31: .*write the file in UTF-8"):
        Tree.read(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: no element found"),
        ("(a,b);", "line 1, column 1: syntax error"),
        ("<svg/>", "line 1, column 1: expected <phyloxml> but found <svg>"),
        ("<phyloxml>\n</phyloxml>", "line 2, column 12: there is no phylogeny"),
        (document(""), "line 2, column 12: the <phylogeny> that ends here has no <clade>"),
        (document(TWO.format("b"))[:-30], "line 2, column 77: unclosed token"),
        (document("<clade><clade></clade>"), "line 2, column 26: the clade that ends here is a"),
        (document("<clade><name>a</name>"), "line 2, column 35: mismatched tag"),
        (document(TWO.format("a")), "line 2, column 69: tip 'a' occurs twice, first at line 2, co"),
        (document(TWO.format("b") + "<clade/>"), "line 2, column 85: a <clade> stands in another"),
        (document("<x><clade/></x>"), "line 2, column 15: a <clade> stands in another"),
        (document('<clade branch_length="x"/>'), "line 2, column 12: the length 'x' is not a num"),
        (
            document("<clade><branch_length>1e999</branch_length></clade>"),
            "line 2, column 39: the length '1e999' is not a number, or too large",
        ),
        (
            document("<clade><confidence>high</confidence></clade>"),
            "line 2, column 35: the confidence 'high' is not a number",
        ),
        (
            "<!DOCTYPE phyloxml>\n" + document(""),
            "line 1, column 1\\d?: a document type definition",
        ),
        (
            '<!DOCTYPE p [<!ENTITY e "x">]>\n' + document(TWO.format("&e;")),
            "line 1, column 1\\d?: a document type definition",
        ),
        (document(TWO.format("&e;")), "line 2, column 61: undefined entity"),
    ],
)
def test_errors_name_the_place(text, message, tmp_path):
    path = tmp_path / "bad.xml"
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(FileFormatError, match=r"bad\.xml: " + message):
        Tree.read(path)


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_a_file_that_is_cut_off_is_refused(place):
    text = format_phyloxml(Tree.from_newick("((a:1,'b & c':2)0.5:3,d:4)root;")).rstrip()
    with pytest.raises(FileFormatError, match=r"^line \d+, column \d+: "):
        parsed(text[: place % len(text)])


def test_deep_trees(tmp_path):
    tree = caterpillar(20_000)
    tree.write(tmp_path / "deep.xml")
    assert Tree.read(tmp_path / "deep.xml") == tree


@settings(max_examples=40, deadline=None)
@given(labelled_trees(holdable.filter(lambda name: name == " ".join(name.split()))))
def test_biopython_reads_what_is_written(tree):
    phylo = pytest.importorskip("Bio.Phylo")
    text = format_phyloxml(tree)
    theirs = phylo.read(io.BytesIO(text.encode()), "phyloxml")
    assert theirs.rooted == tree.is_rooted
    assert Tree.from_biopython(theirs) == tree


def test_what_biopython_writes_is_read(tmp_path):
    phylo = pytest.importorskip("Bio.Phylo")
    tree = Tree.from_newick("(('a & <b>':0.1,'two words':1e-05)0.75:0.25,\u00fc:2)root;")
    path = tmp_path / "theirs.xml"
    phylo.write([tree.to_biopython()], path, "phyloxml")
    assert Tree.read(path) == tree

"""The report in a browser: what a reader undoes, misses or presses by mistake."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from report_browser import chosen, distances, pixels, saved, seek, settle, some

import pyphylo as pp
from pyphylo.report import report_html

SVG = "{http://www.w3.org/2000/svg}"
NONE = "No model chosen"


def texts(page, button="#save-svg"):
    root = ElementTree.fromstring(saved(page, button))  # noqa: S314
    return list(root.iter(f"{SVG}text"))


def bold(page, button="#save-svg"):
    return {node.text for node in texts(page, button) if node.get("font-weight")}


def place(node):
    return [
        float(x) for x in re.search(r"translate\((\S+) (\S+)\)", node.get("transform")).groups()
    ]


def spot(page, name):
    """Where a name stands on the screen."""
    (node,) = [node for node in texts(page) if node.text == name]
    box = page.locator("#tree").bounding_box()
    x, y = place(node)
    return box["x"] + x + 12, box["y"] + y


def test_a_choice_is_undone_by_escape_and_by_a_press_beside_the_tree(opened):
    page = opened(distances(some(20)))
    seek(page, "model-3")
    page.fill("#find", "")
    page.click("#tab-map")
    seen = pixels(page, "map")
    page.focus("#tree")
    page.keyboard.press("Escape")
    settle(page)
    assert chosen(page) == NONE
    assert "Choose a model" in page.inner_text("#card-body")
    assert page.locator("#list [aria-current]").count() == 0
    assert bold(page) == set()
    assert pixels(page, "map") != seen
    for canvas in ("tree", "map"):
        seek(page, "model-3")
        assert chosen(page) == "model-3"
        page.fill("#find", "")
        box = page.locator(f"#{canvas}").bounding_box()
        page.mouse.click(box["x"] + box["width"] - 2, box["y"] + 2)
        assert chosen(page) == NONE, canvas
    seek(page, "model-4")
    page.focus("#card tbody button >> nth=0")
    page.keyboard.press("Escape")
    assert chosen(page) == NONE
    assert page.evaluate("document.activeElement.id") == "card"


@pytest.mark.parametrize("button", ["right", "middle"])
def test_other_buttons_of_the_mouse_choose_nothing(opened, button):
    page = opened(distances(some(20)))
    x, y = spot(page, "model-3")
    page.mouse.click(x, y, button=button)
    assert chosen(page) == NONE
    page.mouse.click(x, y)
    assert chosen(page) == "model-3"


def scrolled(page):
    """How far the page is scrolled, once it is: a wheel takes some frames."""
    for _ in range(100):
        if page.evaluate("scrollY") > 0:
            break
        settle(page)
    return page.evaluate("scrollY")


def test_the_wheel_scrolls_the_page_where_there_is_nothing_to_zoom(opened):
    page = opened(distances(some(120)))
    box = page.locator("#tree").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.wheel(0, 300)
    assert scrolled(page) > 0
    page.evaluate("scrollTo(0, 0)")
    settle(page)
    first = pixels(page)
    page.mouse.wheel(0, -300)
    settle(page)
    assert pixels(page) != first
    assert page.evaluate("scrollY") == 0


def test_a_finger_scrolls_the_page_and_moves_what_is_enlarged(opened):
    page = opened(distances(some(120)))
    touch = "document.getElementById('tree').style.touchAction"
    assert page.evaluate(touch) == "pan-y"
    page.click("#closer")
    settle(page)
    assert page.evaluate(touch) == "none"
    before = pixels(page)
    # The browser takes the finger: what it moved goes back
    page.evaluate(
        """() => {
          const tree = document.getElementById('tree');
          tree.setPointerCapture = () => {};
          const send = (type, x, y, button) => tree.dispatchEvent(new PointerEvent(type,
            { pointerId: 7, pointerType: 'touch', clientX: x, clientY: y, button }));
          send('pointerdown', 300, 400, 0);
          send('pointermove', 340, 480, -1);
        }"""
    )
    settle(page)
    assert pixels(page) != before
    page.evaluate(
        """document.getElementById('tree').dispatchEvent(
          new PointerEvent('pointercancel', { pointerId: 7 }))"""
    )
    settle(page)
    assert pixels(page) == before


def test_what_the_keys_lit_up_goes_out_with_the_focus(opened):
    page = opened(distances(some(20)))
    plain = saved(page, "#save-svg")
    page.focus("#tree")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    assert pixels(page) != ""
    page.keyboard.press("Tab")
    settle(page)
    assert saved(page, "#save-svg") == plain


def test_before_a_choice_the_card_has_the_most_alike_and_the_loneliest(opened):
    D = distances(some(30), seed=4)
    page = opened(D)
    square = np.array(D.values)
    np.fill_diagonal(square, np.inf)
    shown = page.locator("#card tbody tr").all()
    rows = [row.locator("td").all_text_contents() for row in shown]
    assert len(rows) == 8 + 3
    least = np.unravel_index(square.argmin(), square.shape)
    assert set(rows[0][:2]) == {D.ids[i] for i in least}
    assert rows[0][2] == f"{square.min():.4f}"
    lonely = square.min(axis=1).argmax()
    assert rows[8] == [D.ids[lonely], D.ids[square[lonely].argmin()], f"{square[lonely].min():.4f}"]
    page.click("#card tbody tr:first-child button")
    assert chosen(page) == rows[0][0]
    page.keyboard.press("Escape")
    settle(page)
    assert page.locator("#card tbody tr").count() == 11


def test_a_search_without_hits_finds_nothing(opened):
    page = opened(distances(some(20)))
    page.fill("#find", "nowhere")
    settle(page)
    assert page.inner_text("#matches") == "0 found"
    assert page.locator("#list tbody tr").count() == 0
    assert page.text_content("#models-heading") == "Models found"
    page.fill("#find", "")
    settle(page)
    assert page.locator("#list tbody tr").count() == 20
    assert page.text_content("#models-heading") == "All models"


def test_the_button_of_a_clade_says_what_it_does_and_a_found_tip_marks_its_clade(opened):
    page = opened(distances(some(30), seed=4))
    page.focus("#tree")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    settle(page)
    assert page.text_content("#fold") == "Collapse this clade"
    page.focus("#tree")
    page.keyboard.press("Space")
    assert page.text_content("#fold") == "Expand this clade"
    page.click("#expand")
    assert page.text_content("#fold") == "Collapse this clade"
    inside = page.locator("#card-body ul >> nth=1").locator("button").all_text_contents()
    page.click("#fold")
    page.keyboard.press("Escape")
    page.mouse.move(2, 2)
    assert bold(page) == set()
    page.hover(f"#list tbody button:text-is('{inside[0]}')")
    settle(page)
    with page.expect_download() as download:
        page.evaluate("document.getElementById('save-svg').click()")
    root = ElementTree.parse(download.value.path()).getroot()  # noqa: S314
    (strong,) = [n.text for n in root.iter(f"{SVG}text") if n.get("font-weight")]
    assert re.match(rf"{len(inside)} models", strong)


@pytest.mark.parametrize("shape", ["circular", "unrooted"])
def test_keys_stay_in_the_picture(opened, shape):
    page = opened(distances(some(60)))
    page.select_option("#shape", shape)
    page.focus("#tree")
    for _ in range(5):
        page.keyboard.press("+")
    page.keyboard.press("Home")
    width = page.locator("#tree").bounding_box()["width"]
    for _ in range(3):
        for _ in range(5):
            page.keyboard.press("ArrowDown")
        settle(page)
        name = page.text_content("#says").split(",")[0]
        with page.expect_download() as download:
            page.evaluate("document.getElementById('save-svg').click()")
        root = ElementTree.parse(download.value.path()).getroot()  # noqa: S314
        (node,) = [n for n in root.iter(f"{SVG}text") if n.text == name and n.get("font-weight")]
        assert -15 < place(node)[0] < width + 15


@pytest.mark.parametrize("seed", range(3))
def test_names_of_the_unrooted_tree_keep_clear_of_the_scale(opened, seed):
    page = opened(distances(some(40), seed=seed))
    page.select_option("#shape", "unrooted")
    settle(page)
    root = ElementTree.fromstring(saved(page, "#save-svg"))  # noqa: S314
    box = list(root.iter(f"{SVG}rect"))[-1]
    x, y, w, h = (float(box.get(key)) for key in ("x", "y", "width", "height"))
    names = [node for node in root.iter(f"{SVG}text") if (node.text or "").startswith("model-")]
    assert len(names) > 20
    for node in names:
        a, b = place(node)
        assert not (x <= a <= x + w and y <= b <= y + h)
        assert 0 <= b <= page.locator("#tree").bounding_box()["height"]


def test_of_a_column_where_all_differ_none_is_called_frequent(opened):
    names = some(40)
    page = opened(distances(names), metadata={n: {"note": f"n{i}"} for i, n in enumerate(names)},
                  color_by="note")  # fmt: skip
    assert page.text_content("#legend-note").startswith("40 categories: 11 of them have colours")


def test_colours_with_their_shapes_are_distinct(opened):
    names = some(36)
    rows = {name: {"kind": f"k{i % 12}"} for i, name in enumerate(names)}
    page = opened(distances(names), metadata=rows, color_by="kind")
    marks = page.eval_on_selector_all(
        "#legend path", "all => all.map(p => p.getAttribute('fill') + p.getAttribute('d'))"
    )
    assert len(marks) == len(set(marks)) == 12


def test_where_no_parent_is_proposed_the_likeliest_is_named(opened):
    names = some(60)
    D, rows = distances(names), {names[7]: {"base_model": names[0]}}
    (data,) = re.findall(r'id="data">(.*?)</script>', report_html(D, metadata=rows), re.S)
    data = json.loads(data)
    known = data["parents"]
    unsure = [
        (data["names"][i], data["names"][known["likeliest"][i]])
        for i, sure in enumerate(known["confidence"])
        if known["proposed"][i] is None and sure is not None and 0 < sure < 0.5
    ]
    model, likeliest = unsure[0]
    page = opened(D, metadata=rows, model=model)
    said = " ".join(page.inner_text("#card-body").split())
    assert re.search(
        rf"none: even the likeliest candidate, {likeliest} ?, has a probability of only 0\.\d\d",
        said,
    )
    assert "A probability holds only if the true parent is among these models." in said
    page.fill("#find", names[7])
    page.press("#find", "Enter")
    said = page.inner_text("#card-body")
    assert "as if this and a fifth of the other declarations were unknown" in said


def test_the_card_says_what_distances_count(opened):
    rng = np.random.default_rng(0)
    rows = [(f"m@step{m}", f"g{g}", f"w{word}") for m in range(5) for g in range(16)
            for word in rng.integers(0, 3, 8)]  # fmt: skip
    page = opened(
        pp.AlleleTable.from_records(rows, rule=pp.AlleleRule()), model="m@step2", merges=False
    )
    card = page.inner_text("#card-body")
    assert "two samples of one model are apart too. The interval is over prompts" in card
    assert "Distances here are unbiased" in card
    page.click("#tab-runs")
    assert "(unbiased)" in " ".join(node.text or "" for node in texts(page, "#view-svg"))


BOXES = """svg => {
  const holder = document.createElement('div');
  holder.style = 'position:absolute; left:0; top:0';
  holder.innerHTML = svg;
  document.body.append(holder);
  const whole = holder.querySelector('svg').getBoundingClientRect();
  const boxes = [...holder.querySelectorAll('text')].map((text) => {
    const box = text.getBoundingClientRect();
    return [text.textContent, box.left - whole.left, box.top - whole.top, box.right - whole.left,
      box.bottom - whole.top];
  });
  holder.remove();
  return [whole.width, whole.height, boxes.filter((box) => /[a-z]/.test(box[0]))];
}"""


def boxes_of_names(page):
    """Width and height of the tree's picture, and the box around each name."""
    svg = saved(page, "#save-svg").decode()
    blank = page.context.browser.new_page()
    width, height, boxes = blank.evaluate(BOXES, svg)
    blank.close()
    return width, height, boxes


@pytest.mark.parametrize("width", [400, 1300])
@pytest.mark.parametrize("shape", ["rectangular", "circular", "unrooted"])
def test_names_end_inside_the_picture(opened, shape, width):
    names = [f"an-organisation/a-model-{i:03d}" for i in range(90)]
    page = opened(distances(names))
    page.set_viewport_size({"width": width, "height": 900})
    page.select_option("#shape", shape)
    settle(page)
    across, down, boxes = boxes_of_names(page)
    assert len(boxes) > 5
    for name, left, top, right, bottom in boxes:
        assert -2 < left < right < across + 2, name
        assert -2 < top < bottom < down + 2, name


def test_names_keep_apart_and_none_is_left_out_where_rows_have_room(opened):
    page = opened(distances(some(50)))
    assert len(boxes_of_names(page)[2]) == 50
    page = opened(distances(some(200)))
    boxes = sorted(boxes_of_names(page)[2], key=lambda box: box[2])
    assert 20 < len(boxes) < 150
    for i, (name, left, _, right, bottom) in enumerate(boxes):
        for other, left2, top2, right2, _ in boxes[i + 1 :]:
            # Boxes hold a line's leading, a tenth of the letters above and below
            assert top2 > bottom - 4 or left2 > right or right2 < left, (name, other)

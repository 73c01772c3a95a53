// All models as a table, a hundred at a time: the same facts for those who do not see the pictures.

const list = { order: Array.from({ length: nTips }, (_, i) => i), by: -1, down: false, first: 0 };
const perPage = 100;

const listColumns = [
  { name: 'model', of: (i) => names[i], text: true },
  ...data.columns.map((column) => ({ name: column.name, of: (i) => (column.kind === 'number' ? column.values[i] ?? NaN : cell(column, i)), text: column.kind === 'text' })),
  { name: 'nearest relative', of: (i) => (near.k ? names[near.index[i * near.k]] : ''), text: true },
  { name: 'distance', of: (i) => (near.k ? near.distance[i * near.k] : NaN), text: false },
];

const searching = () => at('find').value.trim() !== '';

function sorted() {
  let tips = Array.from({ length: nTips }, (_, i) => i);
  if (searching()) tips = tips.filter((i) => state.matched.has(i));
  if (list.by >= 0) {
    const { of, text } = listColumns[list.by];
    const sign = list.down ? -1 : 1;
    // What is missing comes last, whichever the direction
    const last = (v) => (text ? v === '' : Number.isNaN(v));
    const keys = new Map(tips.map((i) => [i, of(i)]));
    tips.sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (last(x) || last(y)) return last(x) - last(y) || a - b;
      return (x < y ? -1 : x > y ? 1 : 0) * sign || a - b;
    });
  }
  list.order = tips;
  list.first = 0;
}

function drawList() {
  const shown = list.order.slice(list.first, list.first + perPage);
  const heads = listColumns.map((column, i) => {
    const sort = list.by === i ? (list.down ? 'descending' : 'ascending') : 'none';
    const arrow = { descending: ' ▼', ascending: ' ▲', none: '' }[sort];
    const press = () => { list.down = list.by === i && !list.down; list.by = i; sorted(); drawList(); at(`sort-${i}`).focus(); };
    return element('th', { scope: 'col', 'aria-sort': sort, ...(column.text ? {} : { class: 'number' }) },
      element('button', { type: 'button', id: `sort-${i}`, click: press }, column.name + arrow));
  });
  const row = (tip) => element('tr', tip === state.chosen ? { 'aria-current': 'true' } : {}, ...listColumns.map((column, i) => {
    if (i === 0) return element('td', {}, nameButton(tip, 'list'));
    const value = column.of(tip);
    if (column.text) return element('td', { dir: 'auto' }, element('div', { class: 'cell' }, value));
    return element('td', { class: 'number' }, Number.isNaN(value) ? '' : i === listColumns.length - 1 ? digits(value) : cell(data.columns[i - 1], tip));
  }));
  at('list').replaceChildren(element('caption', { class: 'aside' }, searching() ? 'Models found' : 'All models'), element('thead', {}, element('tr', {}, ...heads)), element('tbody', {}, ...shown.map(row)));
  at('models-heading').textContent = searching() ? 'Models found' : 'All models';
  const last = Math.min(list.first + perPage, list.order.length);
  at('page').textContent = `${list.order.length ? list.first + 1 : 0}–${last} of ${list.order.length.toLocaleString('en')}`;
  at('before').disabled = list.first === 0;
  at('after').disabled = last >= list.order.length;
}

at('before').addEventListener('click', () => { list.first = Math.max(0, list.first - perPage); drawList(); });
at('after').addEventListener('click', () => { list.first += perPage; drawList(); });
// The page of the table on which the chosen model is; its buttons stay where nothing else changes.
choosers.push((node, from) => {
  const place = isTip(node) ? list.order.indexOf(node) : -1;
  const first = place < 0 ? list.first : place - place % perPage;
  if (first !== list.first && from !== 'list') {
    list.first = first;
    drawList();
    return;
  }
  at('list').querySelectorAll('tbody tr').forEach((row, i) => {
    if (list.order[list.first + i] === node) row.setAttribute('aria-current', 'true');
    else row.removeAttribute('aria-current');
  });
});

// The card of the model or clade that was chosen.

// A name that chooses its model, and lights it up in every view while the pointer or the focus is on it.
function nameButton(node, from = 'card') {
  const button = element('button', { type: 'button', class: 'name', dir: 'auto', click: () => { reveal(node); choose(node, from); } }, nodeName(node));
  for (const [on, off] of [['pointerenter', 'pointerleave'], ['focus', 'blur']]) {
    button.addEventListener(on, () => light(node));
    button.addEventListener(off, () => light(-1));
  }
  return button;
}

function tableOf(caption, heads, rows) {
  const cellOf = (tag, part, number) => element(tag, { ...(number ? { class: 'number' } : {}), ...(tag === 'th' ? { scope: 'col' } : {}) }, part);
  return element('table', {},
    element('caption', { class: 'aside' }, caption),
    element('thead', {}, element('tr', {}, ...heads.map(([text, number]) => cellOf('th', text, number)))),
    element('tbody', {}, ...rows.map((row) => element('tr', {}, ...row.map((part, i) => cellOf('td', part, heads[i][1]))))));
}

function showCard(node) {
  const heading = at('card-heading');
  heading.textContent = nodeName(node);
  heading.dir = 'auto';
  at('card-body').replaceChildren(...(isTip(node) ? tipCard(node) : cladeCard(node)));
}

function tipCard(tip) {
  const parts = [];
  const facts = [];
  for (const column of data.columns) {
    const text = cell(column, tip);
    if (text) facts.push(element('dt', {}, column.name), element('dd', { dir: 'auto' }, text));
  }
  if (facts.length) parts.push(element('dl', {}, ...facts));
  parts.push(...parentFacts(tip), ...mergeFacts(tip), element('h3', {}, 'Nearest relatives'), relatives(tip));
  if (data.near.chance) parts.push(element('p', { class: 'keys' }, chanceWords + (near.lower ? ` ${intervalWords}` : '')));
  const clade = tree.parent[tip];
  if (clade >= 0) parts.push(element('p', {}, 'In the tree: ', nameButton(clade)));
  parts.push(...runFacts(tip), ...scoreFacts(tip), ...telling(tip));
  return parts;
}

const chanceWords = 'Distances count the chance of sampling: two samples of one model are apart too.';
const intervalWords = 'The interval is over prompts and does not take that away.';

function relatives(tip) {
  const rows = [];
  for (let j = 0; j < near.k; j++) {
    const distance = near.distance[tip * near.k + j];
    if (Number.isNaN(distance)) break;
    const row = [nameButton(near.index[tip * near.k + j]), digits(distance)];
    if (near.lower) row.push(`${digits(near.lower[tip * near.k + j])} – ${digits(near.upper[tip * near.k + j])}`);
    row.push(digits(Math.exp(-distance), 3));
    rows.push(row);
  }
  const heads = [['model'], ['distance', true]];
  if (near.lower) heads.push(['95% interval', true]);
  return tableOf('Nearest relatives', [...heads, ['similarity', true]], rows);
}

function scoreFacts(tip) {
  if (!data.scores) return [];
  const rows = [];
  for (const target of data.scores.targets) {
    const i = target.tip.indexOf(tip);
    if (i >= 0) rows.push([target.name, digits(target.true[i], 3), digits(target.predicted[i], 3), `${digits(target.lower[i], 3)} – ${digits(target.upper[i], 3)}`]);
  }
  if (!rows.length) return [];
  return [element('h3', {}, 'Scores'), tableOf('Scores', [['benchmark'], ['true', true], ['predicted', true], [data.scores.level ? `${percent(data.scores.level)} interval` : 'interval', true]], rows)];
}

// White space is shown, as alleles differ by it.
const visible = (text) => (text === '' ? '(empty)' : text.replace(/ /g, '·').replace(/\n/g, '↵').replace(/\t/g, '⇥'));
const flat = (text) => text.replace(/\s*\n\s*/g, ' ↵ ');
const percent = (x) => `${Math.round(100 * x)}%`;

function telling(tip) {
  if (!data.alleles) return [];
  const beside = Math.min(near.k, (data.alleles.rows.find((rows) => rows.length) || [[0, '', 0, 0, []]])[0][4].length);
  const kin = Array.from({ length: beside }, (_, j) => near.index[tip * near.k + j]);
  const rows = data.alleles.rows[tip].map(([prompt, allele, own, mean, others, words]) => {
    const text = data.alleles.prompts[prompt];
    const tail = Array.from(text).slice(-60).join('');
    const shown = element('div', { class: 'prompt', dir: 'auto', title: text }, flat(tail === text ? tail : `…${tail}`));
    const said = element('div', {}, element('code', { dir: 'auto' }, visible(allele)));
    if (words) said.append(' as in ', element('q', { dir: 'auto' }, flat(words)));
    return [element('div', {}, shown, said), percent(own), ...others.map(percent), percent(mean)];
  });
  if (!rows.length) return [];
  const heads = [['after the prompt … it says'], ['here', true], ...kin.map((_, j) => [String(j + 1), true]), ['all', true]];
  const who = element('p', { class: 'keys' }, ...kin.flatMap((other, j) => [`${j ? ', ' : 'Beside it '}${j + 1}: `, nameButton(other)]));
  return [element('h3', {}, 'What it says that most others do not'), who, tableOf('Telling alleles and how often they are said', heads, rows)];
}

function cladeCard(node) {
  const facts = [element('dt', {}, 'models'), element('dd', {}, tree.size[node].toLocaleString('en'))];
  if (node !== tree.root) facts.push(element('dt', {}, 'branch length'), element('dd', {}, digits(data.tree.length[node])));
  if (data.tree.support[node] !== null) facts.push(element('dt', {}, 'support'), element('dd', {}, String(data.tree.support[node])));
  const parts = [element('dl', {}, ...facts)];
  if (node !== tree.root) {
    const folded = state.collapsed.has(node);
    const button = element('button', { type: 'button', id: 'fold', click: () => { toggle(node); showCard(node); at('fold')?.focus(); } }, folded ? 'Expand this clade' : 'Collapse this clade');
    parts.push(element('p', {}, button), element('h3', {}, 'Above'), nameButton(tree.parent[node]));
  }
  const list = (title, nodes) => [element('h3', {}, title), element('ul', {}, ...nodes.map((v) => element('li', {}, nameButton(v))))];
  parts.push(...list('Below', tree.children[node]));
  const first = Array.from({ length: Math.min(tree.size[node], 40) }, (_, i) => tree.low[node] + i);
  parts.push(...list(tree.size[node] > 40 ? 'The first 40 models' : 'Models', first));
  return parts;
}

// Where a reader may begin: the pairs most alike, and the models farthest from all others.
function beginnings() {
  const found = [];
  for (let tip = 0; tip < nTips; tip++) {
    const distance = near.distance[tip * near.k];
    if (!Number.isNaN(distance)) found.push([distance, tip, near.index[tip * near.k]]);
  }
  found.sort((a, b) => a[0] - b[0]);
  // Of two that are each other's nearest, one row
  const pairs = found.filter(([, tip, other]) => tip < other || near.index[other * near.k] !== tip);
  const heads = [['model'], ['nearest relative'], ['distance', true]];
  const table = (title, rows) => [element('h3', {}, title), tableOf(title, heads, rows.map(([distance, ...two]) => [...two.map((tip) => nameButton(tip)), digits(distance)]))];
  const parts = table('Most alike', pairs.slice(0, 8));
  if (found.length > 11) parts.push(...table('Farthest from all others', found.slice(-3).reverse()));
  return parts;
}

at('card-body').append(...beginnings());

// Nothing is chosen any more: the card says so, and no view marks anything.
const emptyCard = [...at('card-body').childNodes];
function clearChoice() {
  if (state.chosen < 0) return;
  state.chosen = -1;
  at('card-heading').textContent = 'No model chosen';
  at('card-heading').removeAttribute('dir');
  if (at('card').contains(document.activeElement)) at('card').focus({ preventScroll: true });
  at('card-body').replaceChildren(...emptyCard);
  at('list').querySelector('[aria-current]')?.removeAttribute('aria-current');
  say('No model chosen');
  changed();
}

choosers.push((node, from) => {
  showCard(node);
  // The button that was pressed is gone: whoever goes by keys goes on from the new card.
  if (from === 'card') at('card').focus({ preventScroll: true });
});

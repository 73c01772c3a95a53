// Everything tied together.

at('about').textContent = `${nTips.toLocaleString('en')} models`
  + (tree.known ? '; a branch is as long as the genetic distance along it' : '; the tree has no branch lengths')
  + (data.tree.middle ? '; nothing says where the root is: it is drawn in the middle of the longest path' : '')
  + '.';
at('made').textContent = `Made by pyphylo ${data.version}. Nothing on this page was fetched from anywhere.`;
at('notes').replaceChildren(...data.notes.map((note) => element('li', { dir: 'auto' }, note)));
at('notes').hidden = data.notes.length === 0;

// Colours
at('colour').append(element('option', { value: '-1' }, 'nothing'), ...data.columns.map((column, i) => element('option', { value: String(i) }, column.name)));
at('colour').addEventListener('change', () => { state.column = Number(at('colour').value); repaint(); });
{
  const first = data.columns.findIndex((column) => column.name === 'family');
  const any = data.columns.findIndex((column) => column.kind === 'text' && column.levels.length < nTips);
  state.column = data.start.column ?? (first >= 0 ? first : any);
  at('colour').value = String(state.column);
}
darkly.addEventListener('change', repaint);
// On paper all is light. No frame comes between being told of printing and the print.
function onPaper(is) {
  document.documentElement.toggleAttribute('data-paper', is);
  repaint();
  drawAll();
}
addEventListener('beforeprint', () => onPaper(true));
addEventListener('afterprint', () => onPaper(false));
printing.addEventListener('change', () => onPaper(printing.matches));

// Shape, zoom
at('shape').addEventListener('change', () => { state.shape = at('shape').value; treeBoard.camera.reset(); changed(); });
const middle = () => [treeBoard.canvas.clientWidth / 2, treeBoard.canvas.clientHeight / 2];
at('closer').addEventListener('click', () => zoomTree(1.5, ...middle(), false));
at('further').addEventListener('click', () => zoomTree(1 / 1.5, ...middle(), false));
at('fit').addEventListener('click', () => { treeBoard.camera.reset(); changed(); });
at('expand').addEventListener('click', () => { state.collapsed.clear(); reshaped(); say('All clades expanded'); });
at('support-choice').hidden = !data.tree.support.some((x) => x !== null);
at('show-support').addEventListener('change', () => { state.support = at('show-support').checked; changed(); });

// Search
const lower = names.map((name) => name.toLocaleLowerCase());
at('find').addEventListener('input', () => {
  const wanted = at('find').value.trim().toLocaleLowerCase();
  const found = wanted ? lower.flatMap((name, i) => (name.includes(wanted) ? [i] : [])) : [];
  state.matched = new Set(found);
  at('matches').textContent = wanted ? `${found.length.toLocaleString('en')} found` : '';
  at('found').replaceChildren(...found.slice(0, 20).map((i) => element('option', { value: names[i] })));
  const exact = lower.indexOf(wanted);
  if (found.length && (found.length === 1 || exact >= 0)) reveal(exact >= 0 ? exact : found[0]);
  sorted();
  drawList();
  changed();
});
at('find').addEventListener('keydown', (e) => {
  if (e.key !== 'Enter' || !state.matched.size) return;
  const exact = lower.indexOf(at('find').value.trim().toLocaleLowerCase());
  const [first] = state.matched;
  const found = exact >= 0 ? exact : first;
  reveal(found);
  choose(found, 'find');
});

// Views
const views = [['heat', 'Heat map'], ['map', 'Map'], ...(data.scores ? [['scores', 'Scores']] : []), ...(runs.length ? [['runs', 'Runs']] : [])];
function openView(view) {
  for (const [id] of views) {
    at(`${id}-panel`).hidden = id !== view;
    const tab = at(`tab-${id}`);
    tab.setAttribute('aria-selected', String(id === view));
    tab.tabIndex = id === view ? 0 : -1;
  }
  changed();
}
at('tabs').append(...views.map(([id, title]) => element('button', { type: 'button', role: 'tab', id: `tab-${id}`, 'aria-controls': `${id}-panel`, click: () => openView(id) }, title)));
at('tabs').addEventListener('keydown', (e) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
  if (!step) return;
  const i = views.findIndex(([id]) => at(`tab-${id}`) === document.activeElement);
  const [id] = views[(i + step + views.length) % views.length];
  openView(id);
  at(`tab-${id}`).focus();
});
at('heat-scale').textContent = `Similarity from ${heat.low.toFixed(2)} (dark) to ${heat.high.toFixed(2)} (bright)`
  + (heat.block > 1 ? `; a cell is the mean of ${heat.block} × ${heat.block} models` : '') + '. Wheel or pinch to zoom, drag to move.';
const mapNotes = {
  mds: `Map of distances (principal coordinates); the axes hold ${percent(data.map.share[0])} and ${percent(data.map.share[1])} of their structure.`,
  umap: 'UMAP: models near each other are alike; how far apart groups are means little.',
};
at('map-choice').hidden = !mapPoints.umap;
at('runs-choice').hidden = !runs.length;
at('show-runs').addEventListener('change', changed);
at('method').addEventListener('change', () => { at('map-note').textContent = mapNotes[at('method').value]; map.board.camera.reset(); changed(); });
at('map-note').textContent = mapNotes.mds;
if (data.scores) {
  at('target').append(...data.scores.targets.map((target) => element('option', {}, target.name)));
  const note = () => {
    const target = data.scores.targets[at('target').selectedIndex];
    const lacks = isTip(state.chosen) && !target.tip.includes(state.chosen) ? ` ${names[state.chosen]} has no known score here.` : '';
    at('scores-note').textContent = `Each score is predicted from models of other ${data.scores.groups}. ${summary(target)}${lacks}`;
  };
  choosers.push(note);
  at('target').addEventListener('change', () => { note(); scores.board.camera.reset(); changed(); });
  note();
}

function summary(target) {
  const n = target.true.length;
  const mean = (list2) => list2.reduce((a, b) => a + b, 0) / n;
  const [mt, mp] = [mean(target.true), mean(target.predicted)];
  let [xy, xx, yy, off] = [0, 0, 0, 0];
  for (let i = 0; i < n; i++) {
    const [a, b] = [target.true[i] - mt, target.predicted[i] - mp];
    xy += a * b; xx += a * a; yy += b * b; off += Math.abs(target.true[i] - target.predicted[i]);
  }
  return `${n} models, correlation ${digits(xy / Math.sqrt(xx * yy), 2)}, mean error ${digits(off / n, 3)}.`;
}

if (runs.length) {
  at('run').append(element('option', { value: '-1' }, 'all runs'), ...runs.map((run, r) => element('option', { value: String(r) }, short(run.name, 60))));
  at('run').addEventListener('change', () => chooseRun(Number(at('run').value)));
  at('measure').append(...Object.entries(measures).map(([key, [words]]) => element('option', { value: key }, words)));
  at('measure').addEventListener('change', () => { runsView.board.camera.reset(); changed(); });
  at('runs-note').textContent = runNote();
}

at('skip').addEventListener('click', () => at('models-heading').focus());
addEventListener('keydown', (e) => { if (e.key === 'Escape' && !e.target.closest?.('input, select')) clearChoice(); });
choosers.push((node, from) => { if (from !== 'tree' && from !== 'card') reveal(node); });
openView('heat');
sorted();
drawList();
repaint();
if (data.start.tip !== null) { reveal(data.start.tip); choose(data.start.tip, 'start'); }
document.documentElement.dataset.ready = 'yes';

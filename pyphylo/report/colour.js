// Colours: hues that people with any colour vision tell apart, and four shapes in turn. The
// light ones are those of the figures; the dark ones were searched for in the same way: with the
// greys, at least 14 apart in CIE Lab under simulated protanopia, deuteranopia and tritanopia.

const hues = {
  light: ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#8800FF', '#663300', '#778844', '#4400AA'],
  dark: ['#5BFFA9', '#BA5E07', '#7644FB', '#EFA2FF', '#85AD8E', '#2C72A2', '#ABFC71', '#805F45', '#3DBD58', '#AC74FB'],
};
const shapes = ['circle', 'square', 'diamond', 'triangle'];
const most = 12;
// Viridis (Smith & van der Walt 2015), at equal steps.
const ramp = ['#440154', '#482475', '#414487', '#355F8D', '#2A788E', '#21918C', '#22A884', '#44BF70', '#7AD151', '#BDDF26', '#FDE725'];

const darkly = matchMedia('(prefers-color-scheme: dark)');
const printing = matchMedia('print');
const isDark = () => darkly.matches && document.documentElement.dataset.paper === undefined;
const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();

function rampColour(part) {
  const place = Math.min(Math.max(part, 0), 1) * (ramp.length - 1);
  const i = Math.min(Math.floor(place), ramp.length - 2);
  const mix = (k) => {
    const a = parseInt(ramp[i].substr(k, 2), 16);
    const b = parseInt(ramp[i + 1].substr(k, 2), 16);
    return Math.round(a + (b - a) * (place - i));
  };
  return [mix(1), mix(3), mix(5)];
}

const rgb = (parts) => `rgb(${parts.join(',')})`;

// How tips, branches and the legend are coloured by the column that was chosen.
function paint() {
  const colours = { tip: [], shape: [], branch: [], legend: [], note: '' };
  const ink = theme('branch');
  const lone = theme('lone');
  const column = data.columns[state.column];
  const palette = isDark() ? hues.dark : hues.light;
  const code = new Int32Array(tree.n).fill(-1);
  if (!column) {
    for (let i = 0; i < nTips; i++) { colours.tip[i] = ink; colours.shape[i] = 'circle'; }
    for (let v = 0; v < tree.n; v++) colours.branch[v] = ink;
    return colours;
  }
  if (column.kind === 'number') {
    const known = column.values.filter((x) => x !== null);
    const low = Math.min(...known);
    const high = Math.max(...known);
    const log = low > 0 && high / low > 50;
    const part = (x) => (log ? Math.log(x / low) / Math.log(high / low) : (x - low) / (high - low || 1));
    // In the dark the far violet would vanish, in the light the far yellow
    const shade = (x) => rgb(rampColour(isDark() ? 0.25 + 0.75 * part(x) : 0.92 * part(x)));
    for (let i = 0; i < nTips; i++) {
      const value = column.values[i];
      colours.tip[i] = value === null ? lone : shade(value);
      colours.shape[i] = 'circle';
    }
    for (let v = 0; v < tree.n; v++) colours.branch[v] = v < nTips ? colours.tip[v] : ink;
    const middle = log ? Math.sqrt(low * high) : (low + high) / 2;
    const dated = (x) => column.texts[column.values.reduce((best, v, i) => (v !== null && (best < 0 || Math.abs(v - x) < Math.abs(column.values[best] - x)) ? i : best), -1)];
    const written = (x) => (column.texts ? dated(x) : Number(x.toPrecision(3)).toString());
    for (const x of [low, middle, high]) colours.legend.push({ text: written(x), colour: shade(x), shape: 'circle' });
    if (known.length < nTips) colours.legend.push({ text: 'unknown', colour: lone, shape: 'circle' });
    return colours;
  }
  const shown = column.levels.length > most ? most - 1 : column.levels.length;
  const hue = (c) => (c < 0 ? lone : c >= shown ? theme('soft') : palette[c % palette.length]);
  const shape = (c) => (c < 0 ? 'circle' : c >= shown ? 'cross' : shapes[(c + Math.floor(c / palette.length)) % shapes.length]);
  for (let i = 0; i < nTips; i++) {
    const c = Math.min(column.codes[i], shown);
    code[i] = c;
    colours.tip[i] = hue(c);
    colours.shape[i] = shape(c);
  }
  // The colour of a branch is that which all tips below it share: -2 is none yet, -3 several.
  code.fill(-2, nTips);
  for (let v = 0; v < tree.n - 1; v++) {
    const p = tree.parent[v];
    code[p] = code[p] === -2 || code[p] === code[v] ? code[v] : -3;
  }
  for (let v = 0; v < tree.n; v++) colours.branch[v] = code[v] === -3 ? ink : hue(code[v]);
  for (let c = 0; c < shown; c++) colours.legend.push({ text: column.levels[c], colour: hue(c), shape: shape(c) });
  if (shown < column.levels.length) {
    // Where the last that has a colour is as rare as those that have none, frequency says nothing.
    const count = new Int32Array(column.levels.length);
    for (const c of column.codes) if (c >= 0) count[c]++;
    const common = count[shown - 1] > count[shown];
    colours.legend.push({ text: `other (${column.levels.length - shown})`, colour: hue(shown), shape: shape(shown) });
    colours.note = `${column.levels.length.toLocaleString('en')} categories: ${common ? `the ${shown} most frequent` : `${shown} of them`} have colours of their own, the other ${(column.levels.length - shown).toLocaleString('en')} share one. Find, the table below and each model's card have them all.`;
  }
  if (column.codes.includes(-1)) colours.legend.push({ text: 'unknown', colour: lone, shape: 'circle' });
  return colours;
}

let colours = paint();
function repaint() { colours = paint(); drawLegend(); changed(); }

function drawLegend() {
  at('legend-note').textContent = colours.note;
  at('legend-note').hidden = !colours.note;
  at('legend').replaceChildren(...colours.legend.map((entry) => {
    const picture = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    picture.setAttribute('width', 12);
    picture.setAttribute('height', 12);
    picture.setAttribute('aria-hidden', 'true');
    const mark = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    mark.setAttribute('d', markPath(entry.shape, 6, 6, 5));
    mark.setAttribute('fill', entry.colour);
    picture.append(mark);
    return element('li', { title: entry.text }, picture, element('span', { dir: 'auto' }, entry.text));
  }));
}

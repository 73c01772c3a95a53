// What the three planes show: the map, scores, training runs.

const mapPoints = (() => {
  const tips = Array.from({ length: nTips }, (_, i) => i);
  const of = (text) => {
    const xy = floats(text);
    return { tips, x: tips.map((i) => xy[2 * i]), y: tips.map((i) => xy[2 * i + 1]), equal: true };
  };
  return { mds: of(data.map.xy), umap: data.map.umap && of(data.map.umap) };
})();
const map = new Scatter('map', () => {
  const lines = at('show-runs').checked ? runs.map((run) => run.tips) : null;
  return { ...mapPoints[at('method').value], lines };
});

function scorePoints() {
  const target = data.scores?.targets[at('target').selectedIndex];
  if (!target) return null;
  const [low, high] = span([...target.true, ...target.predicted]);
  const spare = (high - low || 0.1) * 0.04;
  const range = [low - spare, high + spare];
  const ticks = evenTicks(range);
  return {
    tips: target.tip, x: target.true, y: target.predicted, low: target.lower, high: target.upper, equal: true,
    range: [range, range], axes: { x: 'true', y: 'predicted', xs: ticks, ys: ticks, diagonal: true },
    words: (i) => `true ${digits(target.true[i], 3)}, predicted ${digits(target.predicted[i], 3)} (${digits(target.lower[i], 3)} to ${digits(target.upper[i], 3)})`,
  };
}
const scores = new Scatter('scores', scorePoints);

const measures = {
  start: ['distance from the first', 'from the first checkpoint'],
  end: ['distance to the last', 'to the last checkpoint'],
  previous: ['distance from the one before', 'from the checkpoint before'],
};

// Steps that span more than a factor of fifty are laid out by the logarithm of 1 + step.
const isLong = (() => {
  const steps = runs.flatMap((run) => run.steps).filter((step) => step > 0);
  return steps.length > 0 && Math.max(...steps) > 50 * Math.min(...steps);
})();
const alongSteps = (step) => (isLong && step >= 0 ? Math.log10(1 + step) : step);

// A power of ten as people write it in steps: 1000, 10k, 1M.
const shortNumber = (power) => `${10 ** (power < 4 ? power : power % 3)}${power < 4 ? '' : ['', 'k', 'M', 'G', 'T'][Math.floor(power / 3)]}`;

function stepTicks(range) {
  if (!isLong) return evenTicks(range);
  const ticks = [[0, '0']];
  for (let power = 0; power <= range[1]; power++) ticks.push([Math.log10(1 + 10 ** power), shortNumber(power)]);
  return ticks.filter(([v]) => v >= range[0] && v <= range[1]);
}

function runPoints() {
  const which = at('measure').value;
  const shown = runs.filter((_, r) => state.run < 0 || r === state.run);
  const made = { tips: [], x: [], y: [], low: [], high: [], lines: [], ends: [], from: [] };
  for (const run of shown) {
    const line = [];
    run.tips.forEach((tip, i) => {
      if (run[which][i] === null) return;
      line.push(made.tips.length);
      made.tips.push(tip);
      made.x.push(alongSteps(run.steps[i]));
      made.y.push(run[which][i]);
      made.low.push(run[`${which}_lower`]?.[i] ?? null);
      made.high.push(run[`${which}_upper`]?.[i] ?? null);
      made.from.push([run, i]);
    });
    if (line.length) { made.lines.push(line); made.ends.push(line[line.length - 1]); }
  }
  if (!made.tips.length) return null;
  const [x0, x1] = span(made.x);
  const high = Math.max(...made.y, ...made.high) || 0.1;
  const spare = (x1 - x0 || 1) * 0.03;
  const range = [[x0 - spare, x1 + spare], [0, high * 1.05]];
  return {
    ...made, range, axes: { x: isLong ? 'step (logarithm of 1 + step)' : 'step', y: measures[which][0] + (shown.every((run) => run.estimator === 'unbiased') ? ' (unbiased)' : ''), xs: stepTicks(range[0]), ys: evenTicks(range[1]) },
    stands: single,
    label: (i) => (shown.length === 1 ? stepText(made.from[i][0].steps[made.from[i][1]]) : made.ends.includes(i) ? made.from[i][0].name : ''),
    words: (i) => runWords(...made.from[i], which),
  };
}
const runsView = new Scatter('runs', runPoints);

function runWords(run, i, which) {
  const [low, high] = [run[`${which}_lower`]?.[i], run[`${which}_upper`]?.[i]];
  const limits = low === undefined || low === null ? '' : ` (${digits(low)} to ${digits(high)})`;
  return `step ${stepText(run.steps[i])}, ${digits(run[which][i])}${limits} ${measures[which][1]}`;
}

// Marks the checkpoints of a run in every view; -1: of none.
function chooseRun(r) {
  state.run = r;
  at('run').value = String(r);
  at('runs-note').textContent = runNote();
  runsView.cursor = 0;
  runsView.board.camera.reset();
  say(r < 0 ? 'No run marked' : `${runs[r].tips.length} checkpoints of ${runs[r].name} marked in every view`);
  changed();
}

function runNote() {
  if (state.run < 0) return `${runs.length} ${runs.length === 1 ? 'run' : 'runs'}, ${runOf.size} checkpoints. Choose a run to mark its checkpoints in the tree and all views. ${runMeans(runs[0])}`;
  const run = runs[state.run];
  return `${run.tips.length} checkpoints, steps ${stepText(run.steps[0])} to ${stepText(run.steps[run.steps.length - 1])}, marked in the tree and all views. ${fastest(run)} ${runMeans(run)}`;
}

// Between which checkpoints it surely moved, and by most.
function fastest(run) {
  const surely = (i) => !run.previous_lower || run.previous_lower[i] > 0;
  const known = (run.speed || []).flatMap((speed, i) => (speed !== null && surely(i) ? [i] : []));
  if (!known.length) return '';
  const i = known.reduce((best, j) => (run.speed[j] > run.speed[best] ? j : best));
  return `It changes fastest from step ${stepText(run.steps[i - 1])} to ${stepText(run.steps[i])}: ${perStep(run.speed[i])}.`;
}

// What distances along a run count.
function runMeans(run) {
  if (run.estimator === 'unbiased') return 'Distances here are unbiased: the chance of sampling is taken away, and 95% limits are over prompts.';
  return run.estimator === 'plugin' ? chanceWords : '';
}

// Speeds by a step are small: by as many steps as make them easy to read.
const manySteps = (speed) => (speed > 0 ? Math.max(0, Math.ceil(-Math.log10(speed)) - 1) : 0);
function perStep(speed) {
  const power = manySteps(speed);
  return power ? `${Number((speed * 10 ** power).toPrecision(2))} in ${(10 ** power).toLocaleString('en')} steps` : `${Number(speed.toPrecision(2))} a step`;
}

// The same for a narrow column.
function inSteps(speed) {
  if (speed === null) return '–';
  const power = manySteps(speed);
  return speed ? `${Number((speed * 10 ** power).toPrecision(2))} in ${shortNumber(power)}` : '0';
}

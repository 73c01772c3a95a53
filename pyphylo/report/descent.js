// What a model's card says of its descent: parents, merges, the training run that it is of.

// Why no parent is proposed, where there are candidates.
function unsure(likeliest, sure) {
  const how = digits(sure, 2);
  if (likeliest === null) return [`none: no candidate has a probability above ${how}`];
  return sure < 0.5
    ? ['none: even the likeliest candidate, ', nameButton(likeliest), `, has a probability of only ${how}`]
    : ['none is sure enough: the likeliest candidate, ', nameButton(likeliest), `, has a probability of ${how}`];
}

function parentFacts(tip) {
  if (!data.parents) return [];
  const facts = [];
  const declared = data.parents.declared[tip];
  const proposed = data.parents.proposed[tip];
  const sure = data.parents.confidence[tip];
  if (declared !== null) {
    const here = names.indexOf(declared);
    facts.push(element('dt', {}, 'declared'), element('dd', { dir: 'auto' }, here >= 0 ? nameButton(here) : `${declared} (not in this tree)`));
  }
  const how = ` with probability ${digits(sure, 2)}`;
  if (proposed !== null) {
    const same = declared !== null && names[proposed] === declared;
    facts.push(element('dt', {}, 'proposed'), element('dd', {}, nameButton(proposed), how, same ? ', as declared' : ''));
  } else if (sure !== null) {
    facts.push(element('dt', {}, 'proposed'), element('dd', {}, ...unsure(data.parents.likeliest[tip], sure)));
  }
  if (!facts.length) return [element('h3', {}, 'Parent'), element('p', {}, 'None is declared, and none is sure enough to be proposed.')];
  // The probability is among candidates: siblings whose parent is absent are proposed as surely.
  const given = sure !== null ? [element('p', { class: 'keys' }, 'A probability holds only if the true parent is among these models.')] : [];
  const note = declared !== null && sure !== null ? [element('p', { class: 'keys' }, 'Proposed from distances, and sizes and dates where known, as if this and a fifth of the other declarations were unknown.')] : [];
  return [element('h3', {}, 'Parent'), element('dl', {}, ...facts), ...given, ...note];
}

const pairOf = ([a, b]) => [nameButton(a), ' and ', nameButton(b)];

function mergeFacts(tip) {
  if (!data.merges) return [];
  const heading = element('h3', {}, 'Is it a merge?');
  const test = data.merges.tests[tip];
  if (!test) return [heading, element('p', {}, 'Not tested: fewer than two of its relatives could be its parents. Its own children, checkpoints of its run, and models without two probes of most of its genes are not tried.')];
  const parts = [heading, element('p', { id: 'merge' }, ...mergeWords(test))];
  const facts = [];
  const fact = (name, ...said) => facts.push(element('dt', {}, name), element('dd', {}, ...said));
  if (test.share && test.outcome !== 'undecided') fact(`share of ${short(names[test.parents[0]], 26)}`, `${percent(test.share[0])}, 95% limits ${percent(Math.max(0, test.share[1]))} to ${percent(Math.min(1, test.share[2]))}`);
  if (test.p !== null) fact('chance of this without a merge', `p = ${test.p < 0.01 ? test.p.toPrecision(1) : digits(test.p, 2)}, over all pairs of ${test.candidates} relatives that were tried`);
  fact('prompts compared', String(test.genes));
  if (test.base !== undefined) fact('base', nameButton(test.base));
  parts.push(element('dl', {}, ...facts));
  if (test.outcome !== 'none') {
    parts.push(element('p', { class: 'keys' }, `Of ${data.merges.tested} models tested, about ${Math.max(1, Math.round(0.05 * data.merges.tested))} would seem to lie between two others by chance alone.`));
  }
  return parts;
}

function mergeWords(test) {
  if (test.outcome === 'none') {
    return ['No sign of it: no two of its ', `${test.candidates} nearest relatives have it between them. `, 'That refutes nothing: a parent may be absent, or what it learned since may hide a merge.'];
  }
  if (test.outcome === 'undecided') {
    const more = test.n_rivals > test.rivals.length ? [`, and ${test.n_rivals - test.rivals.length} more pairs`] : [];
    return ['It lies between other models, but between which, cannot be told: ', ...pairOf(test.parents), ', or as well ', ...test.rivals.flatMap((pair, i) => [i ? ', or ' : '', ...pairOf(pair)]), ...more, '.'];
  }
  const between = ['It lies between ', ...pairOf(test.parents), ', nearer than to any other pair'];
  if (test.outcome === 'partial return to the base') return [...between, '. The second is the base: it went part of the way back, which is no merge.'];
  if (test.outcome === 'trained on between') return [...between, ', but has more of its own than averages of weights have: one of the two was trained on, or it is a relative of theirs.'];
  return [...between, ': what a merge of the two looks like.', test.own === 'unclear' ? ' Whether their weights were averaged or one was trained on, is left open.' : ''];
}

const aroundRun = 5;

function runFacts(tip) {
  if (!runOf.has(tip)) return [];
  const [r, here] = runOf.get(tip);
  const run = runs[r];
  const mark = element('button', { type: 'button', class: 'name', dir: 'auto', click: () => { chooseRun(r); openView('runs'); } }, run.name);
  const said = element('p', {}, `Checkpoint ${here + 1} of ${run.tips.length} of `, mark, `, step ${stepText(run.steps[here])}. ${fastest(run)}`);
  const rows = [];
  for (let i = Math.max(0, here - aroundRun); i <= Math.min(run.tips.length - 1, here + aroundRun); i++) {
    const step = element('button', { type: 'button', class: 'name', 'aria-label': names[run.tips[i]], click: () => { reveal(run.tips[i]); choose(run.tips[i], 'card'); } }, stepText(run.steps[i]));
    const limits = i && run.previous_lower ? ` (${digits(run.previous_lower[i], 3)} – ${digits(run.previous_upper[i], 3)})` : '';
    rows.push([i === here ? element('strong', {}, stepText(run.steps[i])) : step, digits(run.start[i], 3), digits(run.end[i], 3), digits(run.previous[i], 3) + limits, ...(run.speed ? [inSteps(run.speed[i])] : [])]);
  }
  const heads = [['step', true], ['from first', true], ['to last', true], [run.previous_lower ? 'from one before (95%)' : 'from one before', true], ...(run.speed ? [['distance in steps', true]] : [])];
  return [element('h3', {}, 'Training run'), said, tableOf('Checkpoints of the run: distances and speed', heads, rows), element('p', { class: 'keys' }, runMeans(run))];
}

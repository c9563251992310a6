// The matrix of differences: each network against each other one, on one dataset.
const { element, read, byId, signed } = globalThis.report;
const data = read("report-scores");
const [score, dataset, holder, readout] = ["matrix-score", "matrix-dataset", "matrix", "matrix-readout"].map(byId);
if (!holder) return;

const MOST_LETTERS = 60; // of the names above the columns; numbers stand for longer ones

const OPPOSITE = { better: "worse", worse: "better" };
const minus = (value) => (value === null ? null : -value);

// A pair, and the same seen from its other network.
const seen = ([first, second, difference, low, high, level, p, holm, units, state, reason, chance, other]) => [
  { first, second, difference, low, high, level, p, holm, units, state, reason, chance },
  { first: second, second: first, difference: -difference, low: minus(high), high: minus(low), level, p, holm, units, state: OPPOSITE[state] ?? state, reason, chance: other },
];

// What is known of a pair: parts of a sentence, those at odd places are names.
const describe = (pair, measure) => {
  const write = (value) => signed(value, measure.unit_digits);
  const interval = pair.low === null ? "" : ` [${write(pair.low)}, ${write(pair.high)}]`;
  const tests = pair.low === null ? "" : ` (${pair.level} interval), p ${pair.p}, Holm ${pair.holm}`;
  const verdict = pair.reason ? `${pair.state} (${pair.reason})` : pair.state;
  const [first, second] = [pair.first, pair.second].map((n) => data.rows[n].label);
  const parts = ["", first, " against ", second, " on ", data.columns[Number(dataset.value)],
    `: ${write(pair.difference)}${interval} ${measure.unit}${tests}; ${pair.units}: ${verdict}.`];
  if (pair.chance) {
    parts[6] += " A new training of ";
    parts.push(first, " beats a new one of ", second, `: ${pair.chance}.`);
  }
  return parts;
};

const draw = () => {
  const measure = data.measures[score.value];
  const pairs = measure.pairs[Number(dataset.value)].flatMap(seen);
  const found = new Map(pairs.map((pair) => [`${pair.first} ${pair.second}`, pair]));
  const here = [...new Set(pairs.map((pair) => pair.first))].sort((a, b) => a - b);
  readout.textContent = "";
  if (!here.length) {
    holder.replaceChildren(element("p", { class: "faint" }, "No two networks to compare."));
    return;
  }
  const title = `${measure.title} on ${data.columns[Number(dataset.value)]}: row minus column, ${measure.unit}`;
  const numbered = here.reduce((sum, n) => sum + data.rows[n].label.length, 0) > MOST_LETTERS;
  const heads = here.map((n, k) => element("th", { scope: "col", title: data.rows[n].label }, numbered ? String(k + 1) : data.rows[n].label));
  const rows = here.map((first, k) => {
    const cells = here.map((second) => {
      const pair = found.get(`${first} ${second}`);
      if (!pair) return element("td", { class: "none" }, first === second ? "" : "–");
      const parts = describe(pair, measure);
      const why = pair.state === "not judged" ? [element("span", { class: "why" }, pair.reason)] : [];
      const cell = element("td", { class: `cell ${pair.state.replace(" ", "-")}`, tabindex: "-1", "aria-label": parts.join(""), title: parts.join("") },
        signed(pair.difference, measure.unit_digits), ...why);
      // A name that is written from right to left must not turn the sentence around.
      const tell = () => readout.replaceChildren(...parts.map((part, n) => (n % 2 ? element("bdi", {}, part) : part)));
      cell.addEventListener("focus", tell);
      cell.addEventListener("pointerenter", tell);
      cell.addEventListener("click", () => cell.focus());
      return cell;
    });
    return element("tr", {}, element("th", { scope: "row" }, `${numbered ? `${k + 1} ` : ""}${data.rows[first].label}`), ...cells);
  });
  const table = element("table", { class: "matrix" },
    element("caption", {}, title),
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "network"), ...heads)),
    element("tbody", {}, ...rows));
  table.querySelector("td.cell").tabIndex = 0;
  table.addEventListener("keydown", (event) => move(event, table));
  holder.replaceChildren(table);
};

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

const move = (event, table) => {
  const step = STEPS[event.key];
  const from = event.target.closest("td.cell");
  if (!step || !from) return;
  event.preventDefault();
  const rows = [...table.tBodies[0].rows];
  let cell = from;
  let [y, x] = [rows.indexOf(from.parentElement), from.cellIndex];
  do {
    [y, x] = [y + step[0], x + step[1]];
    cell = x < 1 ? null : rows[y]?.cells[x];
  } while (cell && !cell.classList.contains("cell"));
  if (!cell) return;
  from.tabIndex = -1;
  cell.tabIndex = 0;
  cell.focus();
};

score.addEventListener("change", draw);
dataset.addEventListener("change", draw);
draw();

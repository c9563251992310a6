// The matrix of differences: each network against each other one, on one dataset.
const { element, read, byId } = globalThis.report;
const data = read("report-scores");
const [score, dataset, holder, readout] = ["matrix-score", "matrix-dataset", "matrix", "matrix-readout"].map(byId);
if (!holder) return;

const MOST_LETTERS = 60; // of the names above the columns; numbers stand for longer ones

const turned = { better: "worse", worse: "better", undecided: "undecided" };
const opposite = (number) => (number.startsWith("+") ? number.replace("+", "-") : number.replace("-", "+"));

// A pair as seen from its other network: `+3.00 [+2.10, +3.90]` becomes `-3.00 [-3.90, -2.10]`.
const seen = (pair, turn) => {
  const [first, second, difference, p, corrected, verdict, images] = pair;
  const [mean, low, high] = difference.match(/[+-]?\d+(\.\d+)?/g);
  if (!turn) return { first, second, mean, low, high, p, corrected, verdict, images };
  return { first: second, second: first, mean: opposite(mean), low: opposite(high), high: opposite(low), p, corrected, verdict: turned[verdict], images };
};

const describe = (pair, measure) =>
  `${data.rows[pair.first].label} against ${data.rows[pair.second].label} on ${data.columns[Number(dataset.value)]}: ` +
  `${pair.mean} [${pair.low}, ${pair.high}] ${measure.unit}, p ${pair.p}, Holm ${pair.corrected}, ` +
  `${pair.images} images: ${pair.verdict}`;

const draw = () => {
  const measure = data.measures[score.value];
  const found = new Map();
  for (const pair of measure.pairs[Number(dataset.value)]) {
    found.set(`${pair[0]} ${pair[1]}`, seen(pair, false));
    found.set(`${pair[1]} ${pair[0]}`, seen(pair, true));
  }
  const here = data.rows.map((_, n) => n).filter((n) => [...found.keys()].some((key) => key.split(" ").includes(String(n))));
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
      const cell = element("td", { class: `cell ${pair.verdict}`, tabindex: "-1", "aria-label": describe(pair, measure), title: describe(pair, measure) }, pair.mean);
      const tell = () => { readout.textContent = describe(pair, measure); };
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
  let [y, x] = [rows.indexOf(from.parentElement), from.cellIndex];
  do {
    [y, x] = [y + step[0], x + step[1]];
    const cell = rows[y]?.cells[x];
    if (!cell || x < 1) return;
    if (cell.classList.contains("cell")) {
      from.tabIndex = -1;
      cell.tabIndex = 0;
      cell.focus();
      return;
    }
  } while (true);
};

score.addEventListener("change", draw);
dataset.addEventListener("change", draw);
draw();

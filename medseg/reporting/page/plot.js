// The plot of a score against what a network costs.
const { element, shape, read, byId, mark, colour, axes, teller, legend, keepDrawn, padded } = globalThis.report;
const data = read("report-scores");
const holder = byId("plot");
if (!holder) return;
const [across, score, dataset] = ["plot-x", "plot-score", "plot-dataset"].map(byId);

const MOST_LETTERS = 32; // of a name beside a mark; the legend has all of it
const shortened = (name) => (name.length > MOST_LETTERS ? `${name.slice(0, MOST_LETTERS - 1)}…` : name);

const draw = () => {
  const measure = data.measures[score.value];
  const points = [];
  data.rows.forEach((row, n) => {
    const cell = measure.cells[n][Number(dataset.value)];
    const cost = row.costs[across.value];
    if (cell && cost && !hidden.has(n)) points.push({ n, row, cell, cost, x: cost[0], y: cell[0], low: cell[1] ?? cell[0], high: cell[2] ?? cell[0] });
  });
  if (!points.length) {
    holder.replaceChildren(element("p", { class: "faint" }, "No network that is shown has both."));
    return;
  }
  const costs = points.map((point) => point.x);
  const x = { low: Math.min(...costs) / 1.5, high: Math.max(...costs) * 1.5, log: true, title: data.costs[across.value] };
  const y = { ...padded(points.flatMap((point) => [point.low, point.high]), 0.08), title: measure.heading };
  const { svg, px, py, box, width } = axes(holder, x, y, `${measure.title} against ${data.costs[across.value]}`);
  const tellOf = teller(holder, box, width);
  const taken = [];
  // First the lines, so that none crosses a mark.
  for (const point of points) {
    const at = px(point.x);
    svg.append(shape("line", { x1: at, x2: at, y1: py(point.low), y2: py(point.high), stroke: colour(point.n), "stroke-width": 1.5 }));
  }
  for (const point of points) {
    const [cx, cy] = [px(point.x), py(point.y)];
    const [, , , score, standing] = point.cell;
    const measured = ["macs", "latency_ms", "memory_mib"].includes(across.value) ? point.row.costs.measured : "";
    const lines = [point.row.label, `${measure.title} ${score}`, standing, `${data.costs[across.value]}: ${point.cost[1]}`, measured].filter(Boolean);
    const group = shape("g", { class: "point", tabindex: "0", role: "img", "aria-label": lines.join("; ") });
    group.append(
      shape("circle", { cx, cy, r: 16, fill: "transparent" }),
      mark(point.n, cx, cy, 6.5),
    );
    tellOf(group, cx, cy, lines);
    svg.append(group);
    taken.push([cx - 9, cy - 9, cx + 9, cy + 9]);
  }
  // Names beside the marks, where there is room for them.
  for (const point of points) {
    const [cx, cy] = [px(point.x), py(point.y)];
    for (const [x, anchor] of [[cx + 13, "start"], [cx - 13, "end"]]) {
      const text = shape("text", { class: "name", x, y: cy + 4, "text-anchor": anchor }, shortened(point.row.label));
      svg.append(text);
      const { x: left, y: top, width: wide, height: high } = text.getBBox();
      const [right, bottom] = [left + wide, top + high];
      const free = left > box.left && right < box.right && taken.every(([a, b, c, d]) => right < a || left > c || bottom < b || top > d);
      if (free) {
        taken.push([left, top, right, bottom]);
        break;
      }
      text.remove();
    }
  }
};

const hidden = legend(byId("plot-legend"), data.rows.map((row) => row.label), draw);
keepDrawn(holder, [across, score, dataset], draw);

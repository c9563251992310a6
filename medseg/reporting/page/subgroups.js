// The score of each network in each subgroup of the test images, with its interval.
const { element, shape, read, byId, mark, colour, axes, teller, legend, keepDrawn, padded } = globalThis.report;
const holder = byId("subgroups-plot");
if (!holder) return;
const data = read("report-subgroups");
const shown = byId("subgroups-shown");

const SHARE = 0.8; // of the width of a subgroup that its networks take

const draw = () => {
  const { names, ticks, cells } = data.divisions[Number(shown.value)];
  document.querySelectorAll(".of-division").forEach((one) => { one.hidden = one.dataset.division !== shown.value; });
  const rows = Object.keys(cells).map(Number).filter((n) => !hidden.has(n));
  const points = [];
  rows.forEach((n, place) => {
    names.forEach((name, k) => {
      const cell = cells[n][k];
      if (!cell) return;
      const [y, low, high, text] = cell;
      const x = k + 0.5 + ((place + 0.5) / rows.length - 0.5) * SHARE;
      points.push({ n, name, x, y, low: low ?? y, high: high ?? y, text });
    });
  });
  if (!points.length) {
    holder.replaceChildren(element("p", { class: "faint" }, "No network that is shown has been tested on these."));
    return;
  }
  const x = { low: 0, high: names.length, names: ticks, title: "" };
  const y = { ...padded(points.flatMap((point) => [point.low, point.high]), 0.08), title: data.heading };
  const { svg, px, py, box, width } = axes(holder, x, y, `${data.heading} in each subgroup`);
  const tellOf = teller(holder, box, width);
  const size = Math.max(Math.min(6.5, ((px(1) - px(0)) * SHARE) / rows.length / 2.2), 3);
  for (const point of points) {
    const at = px(point.x);
    svg.append(shape("line", { x1: at, x2: at, y1: py(point.low), y2: py(point.high), stroke: colour(point.n), "stroke-width": 1.5 }));
  }
  for (const point of points) {
    const [cx, cy] = [px(point.x), py(point.y)];
    const lines = [data.rows[point.n], point.name, `${data.title} ${point.text}`];
    const group = shape("g", { class: "point", tabindex: "0", role: "img", "aria-label": lines.join("; ") });
    group.append(shape("circle", { cx, cy, r: size * 2, fill: "transparent" }), mark(point.n, cx, cy, size));
    tellOf(group, cx, cy, lines);
    svg.append(group);
  }
};

const hidden = legend(byId("subgroups-legend"), data.rows, draw);
keepDrawn(holder, [shown], draw);

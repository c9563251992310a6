// The reliability diagram, and beside it the Dice of the images that remain when the least certain ones are left out.
const { shape, element, read, byId, colour, dashes, axes, legend, keepDrawn, padded } = globalThis.report;
const holders = ["reliability", "error-detection"].map(byId);
if (!holders[0]) return;
const rows = read("report-scores").rows;
const data = read("report-certainty");
const dataset = byId("certainty-dataset");

const shown = (what) => rows.map((row, n) => ({ n, points: data[n][Number(dataset.value)]?.[what] ?? [] }))
  .filter(({ n, points }) => points.length && !hidden.has(n));

const drawLines = (lines, { svg, px, py }) => {
  for (const { n, points } of lines) {
    const at = points.map(([x, y]) => `${px(x).toFixed(1)},${py(y).toFixed(1)}`);
    svg.append(shape("polyline", { class: "curve", points: at.join(" "), stroke: colour(n), "stroke-dasharray": dashes(n) }));
    if (points.length <= 15) svg.append(...points.map(([x, y]) => shape("circle", { cx: px(x), cy: py(y), r: 3, fill: colour(n) })));
  }
};

const draw = () => {
  const reliable = shown("bins"), curves = shown("curve");
  if (reliable.length) {
    const whole = { low: 0, high: 1 };
    const drawn = axes(holders[0], { ...whole, title: "predicted probability" }, { ...whole, title: "share of pixels of the class" }, "reliability diagram");
    const { px, py } = drawn;
    drawn.svg.append(shape("line", { class: "cursor", x1: px(0), y1: py(0), x2: px(1), y2: py(1) }));
    drawLines(reliable, drawn);
  } else holders[0].replaceChildren(element("p", { class: "faint" }, "No network that is shown has it."));
  if (curves.length) {
    // The first few images say little and would stretch the axis.
    const lines = curves.map(({ n, points }) => ({ n, points: points.filter(([share]) => share >= 0.1) }));
    const y = padded(lines.flatMap(({ points }) => points.map(([, dice]) => dice)), 0.08);
    drawLines(lines, axes(holders[1], { low: 0, high: 1, title: "share of the images that remain" }, { ...y, title: "Dice of the rest" }, "error detection"));
  } else holders[1].replaceChildren(element("p", { class: "faint" }, "No network that is shown has it."));
};

const sample = (n) => shape("line", { x1: 0, x2: 26, y1: 8, y2: 8, stroke: colour(n), "stroke-width": 3, "stroke-dasharray": dashes(n) });
const hidden = legend(byId("certainty-legend"), rows.map((row) => row.label), draw, sample);
keepDrawn(holders[0], [dataset], draw);

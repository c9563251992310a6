// The curves of the training: mean over the runs and a band, with the numbers of one epoch below.
const { element, shape, read, byId, colour, dashes, axes, legend, keepDrawn, padded } = globalThis.report;
const holder = byId("curves");
if (!holder) return;
const rows = read("report-scores").rows;
const data = read("report-curves");
const [key, dataset, slider, readout] = ["curves-key", "curves-dataset", "curves-epoch", "curves-readout"].map(byId);
let chosen = null; // epoch of the reader's; the last one until then

const draw = () => {
  const { title, cells } = data[key.value];
  const shown = [];
  rows.forEach((row, n) => {
    const curve = cells[n][Number(dataset.value)];
    if (curve && !hidden.has(n)) shown.push({ n, label: row.label, curve });
  });
  if (!shown.length) {
    holder.replaceChildren(element("p", { class: "faint" }, "No network that is shown has this curve."));
    readout.replaceChildren();
    return;
  }
  const last = Math.max(...shown.map(({ curve }) => curve.epochs.at(-1)));
  const epoch = Math.min(chosen ?? last, last);
  slider.max = last;
  slider.value = epoch;
  const first = Math.min(...shown.map(({ curve }) => curve.epochs[0]));
  const single = first === last;
  const x = { low: single ? first - 0.5 : first, high: single ? last + 0.5 : last, title: "epoch", whole: true };
  slider.parentElement.hidden = single;
  const y = { ...padded(shown.flatMap(({ curve }) => [...curve.low, ...curve.high]), 0.05), title };
  const { svg, px, py, box } = axes(holder, x, y, `${title} over the epochs`);
  const line = (epochs, values) => epochs.map((at, k) => `${px(at).toFixed(1)},${py(values[k]).toFixed(1)}`);
  for (const { n, curve } of shown) {
    if (curve.runs > 1) {
      const around = [...line(curve.epochs, curve.high), ...line(curve.epochs, curve.low).reverse()];
      svg.append(shape("polygon", { class: "band", points: around.join(" "), fill: colour(n) }));
    }
    svg.append(shape("polyline", { class: "curve", points: line(curve.epochs, curve.mean).join(" "), stroke: colour(n), "stroke-dasharray": dashes(n) }));
    if (curve.epochs.length === 1) svg.append(shape("circle", { cx: px(curve.epochs[0]), cy: py(curve.mean[0]), r: 4, fill: colour(n) }));
  }
  svg.append(shape("line", { class: "cursor", x1: px(epoch), x2: px(epoch), y1: box.top, y2: box.bottom }));
  svg.addEventListener("pointermove", (event) => point(event, svg, px, x));
  svg.addEventListener("pointerdown", (event) => point(event, svg, px, x));
  tell(shown, epoch);
};

const sample = (n) => shape("line", { x1: 0, x2: 26, y1: 8, y2: 8, stroke: colour(n), "stroke-width": 3, "stroke-dasharray": dashes(n) });

const point = (event, svg, px, x) => {
  const inside = event.clientX - svg.getBoundingClientRect().left;
  const share = (inside - px(x.low)) / (px(x.high) - px(x.low));
  const epoch = Math.round(x.low + Math.min(Math.max(share, 0), 1) * (x.high - x.low));
  if (epoch !== Number(slider.value)) choose(epoch);
};

const choose = (epoch) => {
  chosen = epoch;
  draw();
};

const tell = (shown, epoch) => {
  const parts = shown.map(({ n, label, curve }) => {
    // Of a thinned curve, the nearest epoch that is there.
    const at = curve.epochs.reduce((best, one, k) => (Math.abs(one - epoch) < Math.abs(curve.epochs[best] - epoch) ? k : best), 0);
    const short = (value) => value.toPrecision(3);
    const band = curve.runs > 1 ? ` [${short(curve.low[at])}, ${short(curve.high[at])}]` : "";
    const text = `${label} ${short(curve.mean[at])}${band}`;
    return element("span", { class: "value", style: `--own: ${colour(n)}` }, text);
  });
  readout.replaceChildren(element("strong", {}, `Epoch ${epoch}`), " ", ...parts.flatMap((part) => [part, " "]));
};

const hidden = legend(byId("curves-legend"), rows.map((row) => row.label), draw, sample);
slider.addEventListener("input", () => choose(Number(slider.value)));
keepDrawn(holder, [key, dataset], draw);

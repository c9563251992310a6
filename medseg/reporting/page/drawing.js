// What the other scripts of the report draw with, in `report`: elements, axes, marks, legends.
const SVG = "http://www.w3.org/2000/svg";
const COLOURS = 7; // of report.css
const MARKS = 7;

const fill = (node, attributes, content) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  // Strings become text, never markup.
  node.append(...content);
  return node;
};

const element = (tag, attributes = {}, ...content) => fill(document.createElement(tag), attributes, content);
const shape = (tag, attributes = {}, ...content) => fill(document.createElementNS(SVG, tag), attributes, content);
const read = (name) => JSON.parse(document.getElementById(name).textContent);
const byId = (name) => document.getElementById(name);
const colour = (n) => `var(--network-${n % COLOURS})`;

// The mark of the n-th network: with as many colours as marks, each round of the colours begins with another mark.
const mark = (n, x, y, r) => {
  const forms = [
    () => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0z`,
    () => `M${-r},${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
    () => `M0,${-1.3 * r}L${1.3 * r},0L0,${1.3 * r}L${-1.3 * r},0z`,
    () => `M0,${-1.2 * r}L${1.2 * r},${r}L${-1.2 * r},${r}z`,
    () => `M0,${1.2 * r}L${1.2 * r},${-r}L${-1.2 * r},${-r}z`,
    () => `M${-r / 2.4},${-r}h${r / 1.2}v${r - r / 2.4}h${r - r / 2.4}v${r / 1.2}h${r / 2.4 - r}v${r - r / 2.4}h${-r / 1.2}v${r / 2.4 - r}h${r / 2.4 - r}v${-r / 1.2}h${r - r / 2.4}z`,
    () => `M0,${-r / 2}L${r / 2},${-r}L${r},${-r / 2}L${r / 2},0L${r},${r / 2}L${r / 2},${r}L0,${r / 2}L${-r / 2},${r}L${-r},${r / 2}L${-r / 2},0L${-r},${-r / 2}L${-r / 2},${-r}z`,
  ];
  const path = forms[(n + Math.floor(n / COLOURS)) % MARKS]();
  return shape("path", { d: path, transform: `translate(${x},${y})`, fill: colour(n), class: "mark" });
};

const dashes = (n) => [null, "7 4", "2 4", "8 3 2 3"][Math.floor(n / COLOURS) % 4];

// A difference with its sign; what rounds to 0 has none.
const signed = (value, digits) => {
  const text = value.toFixed(digits);
  if (Number(text) === 0) return text.replace("-", "");
  return value > 0 ? `+${text}` : text;
};

const tidy = (value) => String(Number(value.toPrecision(6)));

// Of whole numbers, such as epochs, no fraction.
const linearTicks = (low, high, whole) => {
  const rough = Math.max((high - low) / 5 || 1, whole ? 1 : 0);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((one) => one >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) found.push(k * step);
  return found;
};

// Numbers of one digit, few where the ends are far apart.
const logTicks = (low, high) => {
  let inside = [];
  for (const digits of [[1, 2, 3, 4, 5, 6, 8], [1, 2, 3, 5], [1, 3], [1]]) {
    inside = [];
    for (let power = -9; power <= 15; power += 1) {
      inside.push(...digits.map((digit) => digit * 10 ** power).filter((value) => value >= low && value <= high));
    }
    if (inside.length <= 6) break;
  }
  return inside.length > 1 ? inside : [low, high];
};

// Names below an axis, each at the middle of its part; every second one lower where they would not fit side by side.
const nameTicks = (svg, names, px, bottom) => {
  const room = px(1) - px(0);
  const apart = names.some((name) => name.length * 7 > room);
  const most = Math.max(Math.floor(((apart ? 2 : 1) * room) / 7), 4);
  names.forEach((name, k) => {
    const shown = name.length > most ? `${name.slice(0, most - 1)}…` : name;
    svg.append(shape("text", { x: px(k + 0.5), y: bottom + 17 + (apart && k % 2 ? 14 : 0), "text-anchor": "middle" }, shown));
    if (k) svg.append(shape("line", { class: "rule", x1: px(k), x2: px(k), y1: bottom, y2: bottom + 6 }));
  });
};

// Draw empty axes as wide as their place. `x`, `y`: { low, high, title }, `x` may be `log` or `whole`, or have `names` of its
// parts, 0 to 1 and so on; returns where values lie.
const axes = (holder, x, y, label) => {
  const width = Math.max(holder.clientWidth, 260);
  const height = Math.round(Math.min(Math.max(width * 0.5, 260), 420));
  const box = { left: 58, right: width - 14, top: 14, bottom: height - 46 };
  const place = (axis, from, to) => {
    const of = axis.log ? Math.log : (value) => value;
    const [low, high] = [of(axis.low), of(axis.high)];
    return (value) => from + ((of(value) - low) / (high - low || 1)) * (to - from);
  };
  const [px, py] = [place(x, box.left, box.right), place(y, box.bottom, box.top)];
  const svg = shape("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label });
  if (x.names) nameTicks(svg, x.names, px, box.bottom);
  for (const value of x.names ? [] : (x.log ? logTicks : linearTicks)(x.low, x.high, x.whole)) {
    svg.append(shape("line", { class: "rule", x1: px(value), x2: px(value), y1: box.top, y2: box.bottom }));
    svg.append(shape("text", { x: px(value), y: box.bottom + 17, "text-anchor": "middle" }, tidy(value)));
  }
  for (const value of linearTicks(y.low, y.high)) {
    svg.append(shape("line", { class: "rule", x1: box.left, x2: box.right, y1: py(value), y2: py(value) }));
    svg.append(shape("text", { x: box.left - 7, y: py(value) + 4, "text-anchor": "end" }, tidy(value)));
  }
  svg.append(shape("text", { class: "title", x: (box.left + box.right) / 2, y: height - 8, "text-anchor": "middle" }, x.title));
  const middle = (box.top + box.bottom) / 2;
  svg.append(shape("text", { class: "title", transform: `translate(14,${middle}) rotate(-90)`, "text-anchor": "middle" }, y.title));
  holder.replaceChildren(svg);
  return { svg, px, py, box, width };
};

// A box that tells of the point under the pointer or in focus; returns what makes a group of the plot such a point.
const teller = (holder, box, width) => {
  const tip = element("div", { class: "tip", hidden: "" });
  holder.append(tip);
  return (group, cx, cy, lines) => {
    const tell = () => {
      tip.replaceChildren(...lines.map((line, k) => element(k ? "div" : "strong", {}, line)));
      tip.hidden = false;
      const room = width - tip.offsetWidth - 4;
      tip.style.left = `${Math.max(4, Math.min(cx + 14, room))}px`;
      tip.style.top = `${cy > (box.top + box.bottom) / 2 ? cy - tip.offsetHeight - 12 : cy + 12}px`;
    };
    const hush = () => { tip.hidden = true; };
    group.addEventListener("pointerenter", tell);
    group.addEventListener("focus", tell);
    group.addEventListener("pointerleave", hush);
    group.addEventListener("blur", hush);
  };
};

// Buttons that hide and show networks, each with its mark or another sample; returns the set of the hidden ones.
const legend = (holder, labels, change, sample = (n) => mark(n, 13, 8, 5.5)) => {
  const hidden = new Set();
  labels.forEach((label, n) => {
    const key = shape("svg", { width: 26, height: 16, viewBox: "0 0 26 16", "aria-hidden": "true" }, sample(n));
    const button = element("button", { type: "button", "aria-pressed": "true" }, key, label);
    button.addEventListener("click", () => {
      if (!hidden.delete(n)) hidden.add(n);
      button.setAttribute("aria-pressed", String(!hidden.has(n)));
      change();
    });
    holder.append(button);
  });
  return hidden;
};

// Draw now, after each change of some selects, and when the place becomes wider or narrower.
const keepDrawn = (holder, selects, draw) => {
  let width = 0;
  for (const select of selects) select.addEventListener("change", draw);
  new ResizeObserver(() => {
    if (holder.clientWidth === width) return;
    width = holder.clientWidth;
    draw();
  }).observe(holder);
};

const padded = (values, share) => {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const more = (high - low) * share || Math.abs(high) * 0.1 || 0.1;
  return { low: low - more, high: high + more };
};

globalThis.report = { element, shape, read, byId, colour, mark, dashes, axes, teller, legend, keepDrawn, padded, signed };

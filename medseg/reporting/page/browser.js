// The test images: two networks side by side, in an order of the reader's choice.
const { element, read, byId, signed } = globalThis.report;
if (!byId("browser")) return;
const rows = read("report-scores").rows;
const measures = read("report-scores").measures;
const data = read("report-images");
const [dataset, first, second, seed, score, order, overlay] =
  ["dataset", "first", "second", "seed", "score", "order", "overlay"].map((name) => byId(`browser-${name}`));
const [list, frames, title, keys, notes] =
  ["list", "frames", "title", "keys", "notes"].map((name) => byId(`browser-${name}`));

// As in the figures: green, vermilion, sky blue.
const RIGHT = [0, 158, 115];
const TOO_MUCH = [213, 94, 0];
const MISSED = [86, 180, 233];
const WHITE = [255, 255, 255];
const CLASSES = [[230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [204, 121, 167], [213, 94, 0], [0, 114, 178]];
const classColour = (value) => CLASSES[(value - 1) % CLASSES.length];

let here = null; // the dataset
let images = []; // places of its images in their order
let entries = []; // their lines in the list
let current = 0; // place in `images`
let drawing = 0; // number of the last drawing, so that an overtaken one ends

const options = (select, entries, chosen) => {
  select.replaceChildren(...entries.map(([value, text]) => element("option", { value }, text)));
  if (chosen !== undefined) select.value = chosen;
  select.parentElement.hidden = entries.length < 2;
};

const valueOf = (row, image, of = score.value) => here.scores[of]?.[row]?.[seed.value]?.[image] ?? null;
const written = (value, of = score.value) => (value === null ? "–" : value.toFixed(measures[of].digits));
// Two networks, or one: nothing is compared with itself.
const compared = () => first.value !== second.value;
const differenceOf = (image) => {
  if (!compared()) return null;
  const [a, b] = [valueOf(first.value, image), valueOf(second.value, image)];
  return a === null || b === null ? null : a - b;
};

const chooseDataset = () => {
  here = data[Number(dataset.value)];
  const known = here.rows.map((n) => [String(n), rows[n].label]);
  // The best network against the first one, mostly the baseline.
  const mean = (n) => {
    const cell = measures[score.value].cells[n][Number(dataset.value)];
    return cell ? (measures[score.value].up ? cell[0] : -cell[0]) : -Infinity;
  };
  const best = here.rows.reduce((one, other) => (mean(other) > mean(one) ? other : one));
  const other = here.rows.find((n) => n !== best) ?? best;
  const stay = (select, fallback) => (here.rows.includes(Number(select.value)) && select.value !== "" ? select.value : String(fallback));
  const [a, b] = [stay(first, best), stay(second, other)];
  options(first, known, a);
  options(second, known, b);
  notes.replaceChildren(...[here.rule, here.licence, here.lacking.length ? `No predictions stored: ${here.lacking.join(", ")}.` : ""]
    .filter(Boolean).map((line) => element("span", { class: "line" }, line)));
  chooseSeeds();
};

const chooseSeeds = () => {
  const seeds = new Set();
  for (const row of [first.value, second.value]) {
    for (const of of Object.values(here.scores)) Object.keys(of[row] ?? {}).forEach((one) => seeds.add(one));
  }
  seeds.delete("mean");
  const sorted = [...seeds].sort((a, b) => a - b);
  const before = seed.value;
  options(seed, [["mean", sorted.length > 1 ? "mean" : "the only one"], ...(sorted.length > 1 ? sorted.map((one) => [one, one]) : [])]);
  seed.value = sorted.length > 1 && seeds.has(before) ? before : "mean";
  sort();
};

const sort = () => {
  const up = measures[score.value].up ? 1 : -1;
  const by = {
    difference: (image) => { const value = differenceOf(image); return value === null ? null : -Math.abs(value); },
    first: (image) => { const value = differenceOf(image); return value === null ? null : -up * value; },
    second: (image) => { const value = differenceOf(image); return value === null ? null : up * value; },
    worst: (image) => { const value = valueOf(first.value, image); return value === null ? null : up * value; },
    best: (image) => { const value = valueOf(first.value, image); return value === null ? null : -up * value; },
    id: (image) => image,
  }[order.value];
  const keysOf = here.images.map((_, image) => by(image));
  images = here.images.map((_, image) => image);
  // What has no score comes last.
  images.sort((a, b) => (keysOf[a] === null) - (keysOf[b] === null) || keysOf[a] - keysOf[b] || a - b);
  current = 0;
  fillList();
  show();
};

const fillList = () => {
  const names = compared() ? [rows[first.value].label, rows[second.value].label, "difference"] : [rows[first.value].label];
  const heads = ["image", ...names].map((text) => element("span", { title: text }, text));
  list.classList.toggle("single", !compared());
  entries = images.map((image, place) => {
    const difference = differenceOf(image);
    const values = [written(valueOf(first.value, image))];
    if (compared()) values.push(written(valueOf(second.value, image)), difference === null ? "–" : signed(difference, measures[score.value].digits));
    const entry = element("li", { role: "option", class: "list-row", id: `browser-image-${place}` },
      element("span", { title: here.images[image].id }, here.images[image].id), ...values.map((text) => element("span", {}, text)));
    entry.addEventListener("click", () => go(place));
    return entry;
  });
  list.replaceChildren(element("li", { class: "list-row list-head", role: "presentation" }, ...heads), ...entries);
};

const go = (place) => {
  if (place < 0 || place >= images.length || place === current) return;
  current = place;
  show();
};

const bytes = async (text) => {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};

// Class maps of an image: the truth, then one for each of `here.maps`.
const unpack = async (image) => {
  const content = await bytes(image.maps);
  const bits = here.bits;
  const [each, pixels] = [8 / bits, image.size[0] * image.size[1]];
  const length = Math.ceil(pixels / each);
  return Array.from({ length: here.maps.length + 1 }, (_, place) => {
    const map = new Uint8Array(pixels);
    for (let n = 0; n < pixels; n += 1) {
      const byte = content[place * length + Math.floor(n / each)];
      map[n] = (byte >> (8 - bits * ((n % each) + 1))) & ((1 << bits) - 1);
    }
    return map;
  });
};

const edge = (map, n, width) => {
  const [value, x] = [map[n], n % width];
  return value !== 0 && ((x > 0 && map[n - 1] !== value) || (x < width - 1 && map[n + 1] !== value)
    || (n >= width && map[n - width] !== value) || (n + width < map.length && map[n + width] !== value));
};

// The colour of a pixel, or null where the image is seen.
const paint = {
  errors: (truth, map, n) => {
    if (map[n] === truth[n]) return truth[n] ? RIGHT : null;
    return truth[n] ? MISSED : TOO_MUCH;
  },
  classes: (truth, map, n) => (map[n] ? classColour(map[n]) : null),
  outlines: (truth, map, n, width) => {
    if (edge(map, n, width)) return classColour(map[n]);
    return map !== truth && edge(truth, n, width) ? WHITE : null;
  },
  none: () => null,
};

// Draw the maps of a network's trainings over the image: each colour as strong as the share of them that have it.
const draw = (canvas, image, truth, maps) => {
  const [height, width] = image.size;
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  const strength = overlay.value === "outlines" ? 1 : 0.6;
  const ignored = here.classes.length;
  for (let n = 0; n < truth.length; n += 1) {
    let [red, green, blue, found] = [0, 0, 0, 0];
    if (overlay.value !== "none" && truth[n] === ignored) {
      pixels.data[4 * n + 3] = 255;
      continue;
    }
    for (const map of maps) {
      const colour = paint[overlay.value](truth, map, n, width);
      if (colour) [red, green, blue, found] = [red + colour[0], green + colour[1], blue + colour[2], found + 1];
    }
    if (found) pixels.data.set([red / found, green / found, blue / found, (255 * strength * found) / maps.length], 4 * n);
  }
  context.putImageData(pixels, 0, 0);
};

const caption = (name, row, image) => {
  if (row === null) return element("figcaption", {}, element("strong", {}, name));
  const others = Object.keys(here.scores).filter((of) => of !== score.value && ["dice", "iou", "hd95"].includes(of));
  const line = (of) => `${measures[of].title} ${written(valueOf(row, image, of), of)}`;
  return element("figcaption", {}, element("strong", {}, name), element("span", { class: "own" }, line(score.value)),
    element("span", { class: "others" }, others.map(line).join(", ")));
};

const frame = (image, name, row, place, maps) => {
  const picture = element("img", { src: image.picture, alt: `${name} of ${image.id}`, width: image.size[1], height: image.size[0] });
  const stack = element("div", { class: "stack" }, picture);
  const figure = element("figure", {}, stack, caption(name, row, place));
  if (maps === null) return figure;
  if (!maps.length) {
    stack.append(element("p", { class: "gone" }, "no prediction stored"));
    return figure;
  }
  if (overlay.value === "errors") stack.classList.add("dim");
  const canvas = element("canvas", { "aria-hidden": "true" });
  stack.append(canvas);
  return { figure, canvas, maps };
};

// Places in `here.maps` of what is shown of a network: of the chosen seed, or of all; of folds, several.
const mapsOf = (row) => [...here.maps.keys()].filter((k) => here.maps[k][0] === Number(row)
  && (seed.value === "mean" || String(here.maps[k][1]) === seed.value));

const show = async () => {
  const mine = (drawing += 1);
  const place = images[current];
  const image = here.images[place];
  const [truth, ...every] = await unpack(image);
  if (mine !== drawing) return;
  const predicted = (row) => mapsOf(row).map((k) => every[k]);
  const parts = [
    frame(image, "image", null, place, null),
    frame(image, "truth", null, place, [truth]),
    frame(image, rows[first.value].label, first.value, place, predicted(first.value)),
  ];
  if (compared()) parts.push(frame(image, rows[second.value].label, second.value, place, predicted(second.value)));
  frames.replaceChildren(...parts.map((part) => part.figure ?? part));
  for (const part of parts) if (part.canvas) draw(part.canvas, image, truth, part.maps);
  title.textContent = `${current + 1} of ${images.length}: ${image.id}`;
  entries.forEach((one, n) => one.setAttribute("aria-selected", String(n === current)));
  const entry = entries[current];
  list.setAttribute("aria-activedescendant", entry.id);
  // Not scrollIntoView, which would move the page as well.
  const above = entry.offsetTop - list.firstElementChild.offsetHeight;
  if (above < list.scrollTop) list.scrollTop = above;
  const below = entry.offsetTop + entry.offsetHeight - list.clientHeight;
  if (below > list.scrollTop) list.scrollTop = below;
  byId("browser-back").disabled = current === 0;
  byId("browser-next").disabled = current === images.length - 1;
  explain();
};

const explain = () => {
  const shown = {
    errors: [[RIGHT, "right"], [TOO_MUCH, "too much"], [MISSED, "missed or of another class"]],
    classes: here.classes.slice(1).map((name, k) => [classColour(k + 1), name]),
    outlines: [...here.classes.slice(1).map((name, k) => [classColour(k + 1), name]), [WHITE, "truth"]],
    none: [],
  }[overlay.value];
  const several = [first, second].some((network) => mapsOf(network.value).length > 1);
  keys.replaceChildren(
    ...shown.flatMap(([colour, text]) => [element("span", { class: "key", style: `--own: rgb(${colour})` }, text), " "]),
    several && shown.length ? "Of several trainings: the more of them, the stronger the colour." : "",
  );
};

const BACK = ["ArrowLeft", "ArrowUp"];
const ON = ["ArrowRight", "ArrowDown"];

byId("browser").addEventListener("keydown", (event) => {
  const upDown = event.key === "ArrowUp" || event.key === "ArrowDown";
  if (event.altKey || event.ctrlKey || event.metaKey || (upDown && event.target !== list)) return;
  if (BACK.includes(event.key)) go(current - 1);
  else if (ON.includes(event.key)) go(current + 1);
  else if (event.key === "Home" && event.target === list) go(0);
  else if (event.key === "End" && event.target === list) go(images.length - 1);
  else return;
  event.preventDefault();
});
byId("browser-back").addEventListener("click", () => go(current - 1));
byId("browser-next").addEventListener("click", () => go(current + 1));
dataset.addEventListener("change", chooseDataset);
for (const select of [first, second]) select.addEventListener("change", chooseSeeds);
for (const select of [seed, score, order]) select.addEventListener("change", sort);
overlay.addEventListener("change", show);
chooseDataset();

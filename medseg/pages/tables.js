// Tables that can be sorted and filtered: `<table class="sortable">`, whose headings hold a button each, and
// `<input data-filter="ID-OF-TABLE">`, or the ids of several. A cell sorts by its `data-value` where it has one, else by
// its text; a heading with `data-first="ascending"` or `"descending"` says which of the two comes first.
const valueOf = (row, column) => {
  const cell = row.cells[column];
  const given = cell.dataset.value ?? cell.textContent.trim();
  const number = Number(given);
  return given !== "" && !Number.isNaN(number) ? number : given.toLowerCase();
};

const compare = (a, b) => {
  // What is missing comes last, whichever way the others are sorted.
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
};

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      // Numbers, which are mostly scores, first from the highest; text from A.
      const first = heading.dataset.first ?? (heading.classList.contains("number") ? "descending" : "ascending");
      const other = first === "descending" ? "ascending" : "descending";
      const direction = heading.getAttribute("aria-sort") === first ? other : first;
      headings.forEach((one) => one.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", direction);
      const sign = direction === "ascending" ? 1 : -1;
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => {
        const [x, y] = [valueOf(a, column), valueOf(b, column)];
        return typeof x === typeof y ? sign * compare(x, y) : compare(x, y);
      });
      table.tBodies[0].append(...rows);
    });
  });
}

for (const input of document.querySelectorAll("input[data-filter]")) {
  const tables = input.dataset.filter.split(" ").map((name) => document.getElementById(name));
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of tables.flatMap((table) => [...table.tBodies[0].rows])) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
}

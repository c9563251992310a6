// The comparison: one table for each score, of which one is shown; columns of datasets and costs come and go.
const { byId, read } = globalThis.report;
const [score, dataset, costs] = ["comparison-score", "comparison-dataset", "comparison-costs"].map(byId);
const datasets = read("report-scores").columns.length;
const places = [...document.querySelectorAll("#comparison .of-score")];
const shown = () => places.find((place) => !place.hidden);
const buttons = (table) => [...table.querySelectorAll("thead th")];

// How the table is sorted, in clicks on a heading: the second click turns the order of the first around.
const sortingOf = (place) => {
  const column = buttons(place).findIndex((heading) => heading.hasAttribute("aria-sort"));
  if (column < 0) return null;
  const heading = buttons(place)[column];
  const first = heading.dataset.first ?? (heading.classList.contains("number") ? "descending" : "ascending");
  return { column, clicks: heading.getAttribute("aria-sort") === first ? 1 : 2 };
};

const sortAs = (place, sorting) => {
  const heading = buttons(place)[sorting.column];
  heading.removeAttribute("aria-sort");
  for (let click = 0; click < sorting.clicks; click += 1) heading.querySelector("button").click();
};

score.addEventListener("change", () => {
  const sorting = sortingOf(shown());
  for (const place of places) place.hidden = place.dataset.score !== score.value;
  if (sorting) sortAs(shown(), sorting);
});

const chooseColumns = () => {
  for (const place of places) {
    for (const row of place.querySelectorAll("tr")) {
      [...row.cells].forEach((cell, column) => {
        const of = column - 1;
        if (of < 0) return;
        cell.hidden = of < datasets ? dataset.value !== "" && Number(dataset.value) !== of : !costs.checked;
      });
    }
  }
};
dataset.addEventListener("change", chooseColumns);
costs.addEventListener("change", chooseColumns);
chooseColumns(); // a browser may keep what was chosen before the page was loaded again
score.dispatchEvent(new Event("change"));

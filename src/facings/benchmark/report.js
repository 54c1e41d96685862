"use strict";
// The page is whole without this: nothing here makes a figure, it only sorts, filters, hides and enlarges what is there.
const many = 12;

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function keyOf(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.v ?? cell.textContent.trim();
  const number = Number(text);
  return text !== "" && !Number.isNaN(number) ? number : text;
}

function compare(a, b) {
  // What has no value goes last, whichever way.
  if (a === "–" || b === "–") return a === b ? 0 : a === "–" ? Infinity : -Infinity;
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function sortable(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    // Over bars there is nothing to ask for: their figures have a column of their own.
    if (head.tagName !== "TH") return;
    const button = make("button", { type: "button", className: "sort" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      // Numbers are asked for the largest first, names from A on.
      const first = [...body.rows].some((row) => typeof keyOf(row, column) === "number") ? "descending" : "ascending";
      const other = first === "descending" ? "ascending" : "descending";
      const way = before === first ? other : first;
      const sign = way === "ascending" ? 1 : -1;
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", way);
      const rows = [...body.rows].sort((a, b) => {
        const order = compare(keyOf(a, column), keyOf(b, column));
        return Number.isFinite(order) ? sign * order : order === Infinity ? 1 : -1;
      });
      body.append(...rows);
      table.dispatchEvent(new Event("sorted"));
    });
  });
}

function filterable(table) {
  const body = table.tBodies[0];
  if (body.rows.length <= many) return;
  const place = table.closest(".wide");
  const field = make("input", { type: "search", placeholder: "Filter rows", autocomplete: "off" });
  field.setAttribute("aria-label", "Filter: " + place.getAttribute("aria-label"));
  const told = make("span", { className: "soft" });
  told.setAttribute("role", "status");
  const more = make("button", { type: "button", className: "plain" });
  let whole = false;
  function show() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let fitting = 0;
    let shown = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      const fits = words.every((word) => text.includes(word));
      fitting += fits;
      row.hidden = !fits || (!whole && fitting > many);
      shown += !row.hidden;
    }
    told.textContent = `${shown} of ${body.rows.length}`;
    more.hidden = !whole && fitting <= many;
    more.textContent = whole ? "Show fewer" : `Show all ${fitting}`;
    more.setAttribute("aria-expanded", String(whole));
  }
  more.addEventListener("click", () => { whole = !whole; show(); });
  field.addEventListener("input", show);
  table.addEventListener("sorted", show);
  place.before(make("div", { className: "filter" }, field, told, more));
  show();
}

function toggles(list) {
  for (const entry of list.querySelectorAll("[data-outcome]")) {
    const button = make("button", { type: "button", className: "plain" }, ...entry.childNodes);
    button.setAttribute("aria-pressed", "true");
    entry.append(button);
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      for (const mark of document.querySelectorAll(`svg [data-outcome="${entry.dataset.outcome}"]`)) {
        mark.classList.toggle("off", !on);
      }
    });
  }
}

function enlargeable(plate) {
  const button = make("button", { type: "button", className: "plain" }, "Enlarge");
  button.setAttribute("aria-pressed", "false");
  button.setAttribute("aria-label", "Enlarge " + plate.dataset.name);
  button.addEventListener("click", () => {
    const large = plate.classList.toggle("large");
    button.setAttribute("aria-pressed", String(large));
    button.firstChild.data = large ? "Make smaller" : "Enlarge";
    plate.scrollIntoView({ block: "nearest" });
  });
  plate.querySelector("figcaption").append(button);
}

function threshold(figure) {
  const data = JSON.parse(figure.dataset.curve);
  const slider = make("input", { type: "range", min: 0, max: 1, step: 0.01, value: data.threshold });
  const told = make("output", {});
  const dot = figure.querySelector("circle");
  function show() {
    // The curve's scores fall: the last that is no lower than the threshold holds what is kept.
    let place = -1;
    while (place + 1 < data.score.length && data.score[place + 1] >= Number(slider.value)) place += 1;
    dot.style.display = place < 0 ? "none" : "";
    const score = Number(slider.value).toFixed(2);
    if (place < 0) { told.textContent = `${score}: no box is so sure`; return; }
    const [recall, precision] = [data.recall[place], data.precision[place]];
    dot.setAttribute("cx", data.left + recall * data.width);
    dot.setAttribute("cy", data.bottom - precision * data.height);
    told.textContent = `${score}: recall ${recall.toFixed(3)}, precision ${precision.toFixed(3)}`;
  }
  slider.addEventListener("input", show);
  figure.append(make("label", { className: "slider" }, "Score threshold", slider, told));
  show();
}

document.querySelectorAll("table.rows").forEach((table) => { sortable(table); filterable(table); });
document.querySelectorAll("ul.toggles").forEach(toggles);
document.querySelectorAll("figure.plate").forEach(enlargeable);
document.querySelectorAll("figure[data-curve]").forEach(threshold);

"use strict";
// Tables that sort, fields that remember, and the keys of the page to read answers on.
const all = (where, from = document) => [...from.querySelectorAll(where)];
const store = document.body.dataset.store;
const place = field => `${store}:${field.dataset.student}:${field.dataset.exercise}:${field.dataset.what}`;
const memory = (() => { try { localStorage.length; return localStorage; } catch { return {getItem() { return null; }, setItem() {}}; } })();

for (const head of all("table.sortable thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    all("th", head.parentElement).forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = head.closest("table").tBodies[0], at = head.cellIndex;
    const value = row => row.cells[at].dataset.value ?? row.cells[at].textContent.trim();
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)], [p, q] = [Number(x), Number(y)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p - q;
      return up ? order : -order;
    });
    body.append(...rows);
  });
}

const fields = all("[data-what]");
for (const field of fields) {
  const given = memory.getItem(place(field));
  if (given !== null) field.value = given;
  field.addEventListener("input", () => { memory.setItem(place(field), field.value); changed(field); });
}

function changed(field) {
  const item = field.closest(".item");
  if (item) item.classList.toggle("done", all("[data-what=points]", item).every(one => one.value !== ""));
  const left = all(".item:not(.done)").length;
  all(".left").forEach(place => { place.textContent = left ? `${left} to go` : "all read"; });
}
all("[data-what=points]").forEach(changed);

function table() {
  const rows = new Map();
  for (const field of fields) {
    const key = JSON.stringify([field.dataset.student, field.dataset.exercise]);
    const row = rows.get(key) ?? {points: "", comment: ""};
    row[field.dataset.what] = field.value.trim();
    rows.set(key, row);
  }
  const quoted = text => `"${text.replaceAll('"', '""')}"`;
  const lines = [...rows].filter(([, row]) => row.points || row.comment)
    .map(([key, row]) => [...JSON.parse(key), row.points, row.comment].map(quoted).join(","));
  return ["student,exercise,points,comment", ...lines, ""].join("\r\n");
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([table()], {type: "text/csv"}));
  link.download = "comments.csv";
  link.click();
}
all(".save").forEach(button => button.addEventListener("click", save));

const items = all(".item");
let at = -1;
function go(to) {
  if (!items.length) return;
  at = Math.max(0, Math.min(items.length - 1, to));
  items.forEach((item, number) => item.classList.toggle("here", number === at));
  items[at].scrollIntoView({block: "start"});
}
if (items.length) {
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inside = event.target.matches("input, textarea");
    if (event.key === "Escape") { event.target.blur(); return; }
    if (inside) return;
    const here = items[Math.max(at, 0)], points = here.querySelector("[data-what=points]");
    const moves = {j: 1, ArrowDown: 1, k: -1, ArrowUp: -1};
    if (event.key in moves) go(at + moves[event.key]);
    else if (/^\d$/.test(event.key) && Number(event.key) <= Number(points.max)) {
      go(Math.max(at, 0));
      points.value = event.key;
      points.dispatchEvent(new Event("input"));
    } else if (event.key === "p") { go(Math.max(at, 0)); points.focus(); }
    else if (event.key === "c") { go(Math.max(at, 0)); here.querySelector("textarea").focus(); }
    else if (event.key === "u") go(Math.max(0, items.findIndex(item => !item.classList.contains("done"))));
    else if (event.key === "s") save();
    else return;
    event.preventDefault();
  });
}

"use strict";
// Sorting, filtering and the choice of a selection rule. Names are only ever set as text, never as markup.

function sortKey(row, column) {
  const key = row.cells[column].dataset.sort;
  return key === "" ? null : Number.isNaN(Number(key)) ? key : Number(key);
}

function compare(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
}

// Empty cells stay last in both directions.
function sort(table, column, ascending) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => ({ row, key: sortKey(row, column) }));
  rows.sort((a, b) => (a.key === null || b.key === null || ascending ? 1 : -1) * compare(a.key, b.key));
  body.append(...rows.map((item) => item.row));
  Array.from(table.tHead.rows[0].cells).forEach((head, i) => {
    if (i === column) head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  });
}

// The first click sorts numbers from the largest, ranks and names from the smallest.
function makeSortable(table) {
  Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
    head.firstElementChild.addEventListener("click", () => {
      const current = head.getAttribute("aria-sort");
      const ascendingFirst = !head.classList.contains("number") || head.textContent === "Rank";
      sort(table, column, current ? current !== "ascending" : ascendingFirst);
    });
  });
}

const FIELDS = ["rank", "accuracy", "gain"]; // in the order of `Standing` in pages.py, each followed by its sort key

function showRule(row, rule) {
  const rules = JSON.parse(row.dataset.rules);
  const values = Object.hasOwn(rules, rule) ? rules[rule].split("|") : null;
  for (const cell of row.cells) {
    if (!cell.dataset.field) continue;
    const index = 2 * FIELDS.indexOf(cell.dataset.field);
    cell.firstElementChild.textContent = values ? values[index] : "n/a";
    cell.dataset.sort = values ? values[index + 1] : "";
  }
}

function makeBoard(board) {
  const control = (id) => document.getElementById(id);
  const filters = ["task", "backbone", "protocol"];
  const stateNames = [...filters, "rule", "search"]; // kept in the address of the page
  const rows = Array.from(board.tBodies[0].rows);
  const firstRule = control("rule").value;

  function show() {
    const search = control("search").value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      const fits = filters.every((name) => !control(name).value || row.dataset[name] === control(name).value);
      const isNamed = row.dataset.name.toLowerCase().includes(search);
      row.hidden = !(fits && isNamed && (control("bounds").checked || row.dataset.bound === undefined));
      count += !row.hidden;
    }
    control("count").textContent = count === 1 ? "1 entry" : `${count} entries`;
  }

  function changeRule() {
    rows.forEach((row) => showRule(row, control("rule").value));
    const heads = Array.from(board.tHead.rows[0].cells);
    const column = heads.findIndex((head) => head.hasAttribute("aria-sort"));
    if (column >= 0) sort(board, column, heads[column].getAttribute("aria-sort") === "ascending");
  }

  function saveState() {
    const state = new URLSearchParams();
    for (const name of stateNames) {
      const value = control(name).value;
      if (value && !(name === "rule" && value === firstRule)) state.set(name, value);
    }
    history.replaceState(null, "", state.size ? `#${state}` : "#");
  }

  function restoreState() {
    const state = new URLSearchParams(location.hash.slice(1));
    for (const name of stateNames) {
      const element = control(name);
      const value = state.get(name) ?? (name === "rule" ? firstRule : "");
      const isKnown = name === "search" || Array.from(element.options, (option) => option.value).includes(value);
      if (isKnown) element.value = value;
    }
    changeRule();
    show();
  }

  control("filters").addEventListener("submit", (event) => event.preventDefault());
  control("filters").addEventListener("input", (event) => {
    if (event.target.id === "rule") changeRule();
    show();
    saveState();
  });
  addEventListener("hashchange", restoreState);
  restoreState();
}

document.querySelectorAll("table.sortable").forEach(makeSortable);
const board = document.getElementById("board");
if (board) makeBoard(board);

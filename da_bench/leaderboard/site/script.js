"use strict";
// Sorting, filtering and the selection rule. Text is only ever set as text, so that no name can become an element.

function order(row, column) {
  const by = row.cells[column].dataset.by;
  return by === "" ? null : Number.isNaN(Number(by)) ? by : Number(by);
}

function compare(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
}

// Empty cells stay last in both directions.
function sort(table, column, ascending) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => ({ row, by: order(row, column) }));
  rows.sort((a, b) => (a.by === null || b.by === null || ascending ? 1 : -1) * compare(a.by, b.by));
  body.append(...rows.map((one) => one.row));
  Array.from(table.tHead.rows[0].cells).forEach((head, i) => {
    if (i === column) head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  });
}

// Large numbers first, but ranks and names from their beginning.
function makeSortable(table) {
  Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
    head.firstElementChild.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const first = !head.classList.contains("number") || head.textContent === "Rank";
      sort(table, column, now ? now !== "ascending" : first);
    });
  });
}

const SHOWN = ["rank", "accuracy", "gain"]; // each as it is shown, then what it is sorted by

function showRule(row, rule) {
  const rules = JSON.parse(row.dataset.rules);
  const shown = Object.hasOwn(rules, rule) ? rules[rule].split("|") : null;
  for (const cell of row.cells) {
    const name = cell.dataset.of;
    if (!name) continue;
    const at = 2 * SHOWN.indexOf(name);
    cell.firstElementChild.textContent = shown ? shown[at] : "n/a";
    cell.dataset.by = shown ? shown[at + 1] : "";
  }
}

function makeBoard(board) {
  const find = (id) => document.getElementById(id);
  const filters = ["task", "backbone", "protocol"];
  const kept = [...filters, "rule", "search"];
  const rows = Array.from(board.tBodies[0].rows);
  const firstRule = find("rule").value;

  function show() {
    const search = find("search").value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      const fits = filters.every((name) => !find(name).value || row.dataset[name] === find(name).value);
      const named = row.dataset.name.toLowerCase().includes(search);
      row.hidden = !(fits && named && (find("bounds").checked || row.dataset.bound === undefined));
      count += !row.hidden;
    }
    find("count").textContent = count === 1 ? "1 entry" : `${count} entries`;
  }

  function changeRule() {
    rows.forEach((row) => showRule(row, find("rule").value));
    const heads = Array.from(board.tHead.rows[0].cells);
    const column = heads.findIndex((head) => head.hasAttribute("aria-sort"));
    if (column >= 0) sort(board, column, heads[column].getAttribute("aria-sort") === "ascending");
  }

  function keep() {
    const state = new URLSearchParams();
    for (const name of kept) {
      const value = find(name).value;
      if (value && !(name === "rule" && value === firstRule)) state.set(name, value);
    }
    history.replaceState(null, "", state.size ? `#${state}` : "#");
  }

  function restore() {
    const state = new URLSearchParams(location.hash.slice(1));
    for (const name of kept) {
      const control = find(name);
      const value = state.get(name) ?? (name === "rule" ? firstRule : "");
      if (name === "search" || Array.from(control.options, (one) => one.value).includes(value)) control.value = value;
    }
    changeRule();
    show();
  }

  find("filters").addEventListener("submit", (event) => event.preventDefault());
  find("filters").addEventListener("input", (event) => {
    if (event.target.id === "rule") changeRule();
    show();
    keep();
  });
  addEventListener("hashchange", restore);
  restore();
}

document.querySelectorAll("table.sortable").forEach(makeSortable);
const board = document.getElementById("board");
if (board) makeBoard(board);

"use strict";
// Tables: sorted by a click on a heading, filtered, in pages, saved as CSV.

const PAGE_LENGTH = 20;
const tables = {}; // id -> what choosers ask of a table

function commonFolder(names) { // what every name begins with, up to its last slash
  let folder = names.length ? names[0].slice(0, names[0].lastIndexOf("/") + 1) : "";
  while (!names.every((name) => name.startsWith(folder)))
    folder = folder.slice(0, folder.lastIndexOf("/", folder.length - 2) + 1);
  return folder;
}

const isNumber = (column) => column.digits !== null;
const unit = (heading) => (/\[(.*)\]/.exec(heading) || ["", ""])[1].replace(/^(?=[^°%])/, " ");

function shown(column, row) {
  const value = column.values[row], error = column.errors?.[row] ?? null;
  if (value === null) return "–";
  if (!isNumber(column)) return String(value).slice(column.folder.length);
  const digits = { minimumFractionDigits: column.digits, maximumFractionDigits: column.digits };
  const text = value.toLocaleString("en", digits);
  return error === null ? text : `${text} ± ${error.toLocaleString("en", digits)}`;
}

function makeTable(section) {
  const { columns, noun, muted } = parsed(section.id);
  const find = (part) => section.querySelector(part);
  const all = columns[0].values.map((_, row) => row), grey = new Set(muted);
  let order = all, sorted = { column: null, up: true }, page = 0;
  let leads = { id: "", to: new Map() }; // a name in the first column -> what shows it

  for (const column of columns) {
    column.folder = column.path ? commonFolder(column.values.filter((name) => name !== null)) : "";
    if (column.folder) find(".folder").textContent += `All are in ${column.folder} `;
  }

  function fill() {
    const pages = Math.max(1, Math.ceil(order.length / PAGE_LENGTH));
    page = Math.min(Math.max(page, 0), pages - 1);
    find(".previous").disabled = page === 0;
    find(".next").disabled = page === pages - 1;
    find(".page-of").textContent = `${order.length.toLocaleString("en")} ${noun}, page ${page + 1} of ${pages}`;
    find("tbody").replaceChildren(...order.slice(page * PAGE_LENGTH, (page + 1) * PAGE_LENGTH).map(line));
  }

  function line(row) {
    const made = document.createElement("tr");
    if (grey.has(row)) made.className = "none";
    columns.forEach((column, place) => {
      const box = made.insertCell(), text = shown(column, row), value = column.values[row];
      box.className = isNumber(column) ? "number" : "name-cell";
      if (column.folder) box.title = value;
      const show = place === 0 && leads.to.get(value);
      const href = show ? `#${leads.id}` : column.links?.[row];
      if (!href) return box.append(text);
      const link = document.createElement("a");
      Object.assign(link, { href, textContent: text });
      if (show) link.addEventListener("click", show);
      return box.append(link);
    });
    return made;
  }

  function compare(a, b) { // what is missing comes last, either way
    if (a === null || b === null) return (a === null) - (b === null);
    const sign = sorted.up ? 1 : -1;
    return sign * (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
  }

  function arrange() {
    const wanted = find(".filter").value.toLowerCase();
    const texts = columns.filter((column) => !isNumber(column));
    order = all.filter((row) => !wanted ||
      texts.some((column) => String(column.values[row] ?? "").toLowerCase().includes(wanted)));
    if (sorted.column) {
      const { values } = sorted.column;
      order.sort((a, b) => compare(values[a], values[b]));
    }
    page = 0;
    fill();
  }

  for (const column of columns) {
    const head = document.createElement("th");
    Object.assign(head, { textContent: column.heading, title: column.note, tabIndex: 0 });
    head.className = isNumber(column) ? "number" : "";
    const sort = () => {
      sorted = { column, up: sorted.column === column ? !sorted.up : true };
      for (const other of find("thead tr").children) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sorted.up ? "ascending" : "descending");
      arrange();
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", ({ key }) => { if (key === "Enter") sort(); });
    find("thead tr").append(head);
  }

  function csv() {
    const parts = columns.flatMap((column) =>
      [[column.name, column.values], ...(column.errors ? [[column.errorName, column.errors]] : [])]);
    return csvText([parts.map(([name]) => name), ...all.map((row) => parts.map(([, part]) => part[row]))]);
  }

  find(".filter").addEventListener("input", arrange);
  find(".previous").addEventListener("click", () => { page--; fill(); });
  find(".next").addEventListener("click", () => { page++; fill(); });
  find("[data-save]").addEventListener("click", () => save(csv(), section.id));
  const long = all.length > PAGE_LENGTH;
  find(".pager").hidden = !long;
  find(".filter").hidden = !long || columns.every(isNumber);
  fill();

  tables[section.id] = {
    short: (name) => name.slice(columns[0].folder.length),
    facts: (name) => {
      const row = columns[0].values.indexOf(name);
      if (row < 0) return "";
      return columns.slice(1).map((column) =>
        `${column.heading.replace(/ \[.*/, "")} ${shown(column, row)}${unit(column.heading)}`).join(" · ");
    },
    leadTo: (id, to) => { leads = { id, to }; fill(); },
  };
}

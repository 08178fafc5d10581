"use strict";
const CONFIG = {
  responsive: true,
  displaylogo: false,
  scrollZoom: false, // the wheel scrolls the page
  // Plotly 4's bar has a button that uploads the data to its makers: unpublished data stay here.
  showSendToCloud: false,
  plotlyServerURL: "",
  modeBarButtonsToRemove: ["sendChartToCloud", "toImage", "select2d", "lasso2d"],
};
const COLUMNS = [ // heading, place of the value, place of its error, digits
  ["micrograph", 0],
  ["particles", 1, null, 0],
  ["ok", 2, null, 0],
  ["mean change [Å]", 3, 4, 1],
  ["tilt [°]", 5, 6, 2],
  ["tilt axis [°]", 7, 8, 0],
  ["R²", 9, null, 2],
  ["spread [Å]", 10, null, 0],
];
const TABLE_NAMES = ["micrograph", "particles", "ok", "mean_change_A", "mean_change_error_A",
  "tilt_deg", "tilt_error_deg", "tilt_axis_deg", "tilt_axis_error_deg", "r_squared", "spread_A"];
const PAGE_LENGTH = 20;
const $ = (id) => document.getElementById(id);
const parsed = (id) => JSON.parse($(id).textContent);

// --- numbers of a figure as CSV -------------------------------------------------------------

const ARRAYS = { f4: Float32Array, f8: Float64Array, i1: Int8Array, u1: Uint8Array,
  i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array };

function values(array) { // plotly stores numbers as base64, in rows where there is a shape
  if (!array || !array.bdata) return array || [];
  const bytes = Uint8Array.from(atob(array.bdata), (c) => c.charCodeAt(0));
  const flat = Array.from(new ARRAYS[array.dtype](bytes.buffer));
  const width = array.shape ? Number(String(array.shape).split(",")[1]) : 0;
  if (!width) return flat;
  return Array.from({ length: flat.length / width }, (_, i) => flat.slice(i * width, (i + 1) * width));
}

function cell(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  if (typeof value === "number") return String(Number(value.toPrecision(7)));
  return /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

const ENTITIES = { lt: "<", gt: ">", quot: '"', "#x27": "'", amp: "&" };
const plain = (text) => // texts of figures are escaped for plotly
  typeof text === "string" ? text.replace(/&(lt|gt|quot|#x27|amp);/g, (_, name) => ENTITIES[name]) : text;

function csvOf(traces) {
  const header = ["series"], lines = [];
  const counted = traces.filter((trace) => trace.meta && trace.meta.columns);
  for (const { meta } of counted)
    for (const name of Object.values(meta.columns).flat())
      if (!header.includes(name)) header.push(name);
  for (const trace of counted) {
    const columns = {};
    for (const [key, names] of Object.entries(trace.meta.columns)) {
      const array = values(trace[key]);
      [names].flat().forEach((name, i) => {
        columns[name] = array.map((value) => plain(Array.isArray(names) ? value[i] : value));
      });
    }
    const length = Math.max(...Object.values(columns).map((column) => column.length));
    for (let i = 0; i < length; i++)
      lines.push([trace.meta.series, ...header.slice(1).map((name) => columns[name]?.[i])]);
  }
  return [header, ...lines].map((line) => line.map(cell).join(",")).join("\n") + "\n";
}

function save(text, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

// --- figures, each drawn when it comes near the window ----------------------------------------

const figures = {}; // id -> the figure as stored

function draw(id) {
  // Plotly decodes in place: it gets a copy.
  const { data, layout } = structuredClone(figures[id]);
  Plotly.react($(`plot-${id}`), data, layout, CONFIG);
}

const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries)
    if (isIntersecting) {
      watcher.unobserve(target);
      draw(target.id.replace("plot-", ""));
    }
}, { rootMargin: "400px" });

for (const button of document.querySelectorAll("[data-save]"))
  button.addEventListener("click", () => {
    const { save: format, of: id } = button.dataset;
    if (format === "csv") save(csvOf(figures[id].data), `parfocal-${id}.csv`);
    else {
      const { width, height } = $(`plot-${id}`).getBoundingClientRect();
      const scale = format === "png" ? 2 : 1;
      Plotly.downloadImage($(`plot-${id}`), { format, width, height, scale, filename: `parfocal-${id}` });
    }
  });

// --- one micrograph -------------------------------------------------------------------------

const table = parsed("data-table");
const micrographs = parsed("data-micrographs"); // [row of the table, figure]
const choose = $("choose");
const folder = commonFolder(table.map((row) => row[0]));
const shortName = (name) => name.slice(folder.length);

function commonFolder(names) { // what every name begins with, up to its last slash
  let folder = names.length ? names[0].slice(0, names[0].lastIndexOf("/") + 1) : "";
  while (!names.every((name) => name.startsWith(folder)))
    folder = folder.slice(0, folder.lastIndexOf("/", folder.length - 2) + 1);
  return folder;
}

function show(place) {
  const [row, figure] = micrographs[place];
  choose.selectedIndex = place;
  $("previous").disabled = place === 0;
  $("next").disabled = place === micrographs.length - 1;
  $("facts").textContent = COLUMNS.slice(1)
    .map((column) => `${column[0].replace(/ \[.*/, "")} ${shown(table[row], column)}${unit(column[0])}`)
    .join(" · ");
  figures.micrograph = figure;
}

const unit = (heading) => (/\[(.*)\]/.exec(heading) || ["", ""])[1].replace("Å", " Å");
micrographs.forEach(([row]) => choose.add(new Option(shortName(table[row][0]))));
function change(place) {
  show(place);
  draw("micrograph");
}
choose.addEventListener("change", () => change(choose.selectedIndex));
$("previous").addEventListener("click", () => change(choose.selectedIndex - 1));
$("next").addEventListener("click", () => change(choose.selectedIndex + 1));

// --- table ----------------------------------------------------------------------------------

const placeOf = new Map(micrographs.map(([row], place) => [row, place]));
let order = table.map((_, row) => row);
let sorted = { column: null, up: true };
let page = 0;

function shown(row, [, value, error, digits]) {
  if (row[value] === null) return "–";
  if (digits === undefined) return shortName(row[value]);
  const text = row[value].toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return error && row[error] !== null ? `${text} ± ${row[error].toFixed(digits)}` : text;
}

function fill() {
  const pages = Math.max(1, Math.ceil(order.length / PAGE_LENGTH));
  page = Math.min(Math.max(page, 0), pages - 1);
  $("back").disabled = page === 0;
  $("forth").disabled = page === pages - 1;
  $("page-of").textContent = `${order.length.toLocaleString("en")} micrographs, page ${page + 1} of ${pages}`;
  $("rows").replaceChildren(...order.slice(page * PAGE_LENGTH, (page + 1) * PAGE_LENGTH).map(tableRow));
}

function tableRow(row) {
  const line = document.createElement("tr");
  for (const column of COLUMNS) {
    const box = line.insertCell();
    box.className = column.length > 2 ? "number" : "name-cell";
    box.textContent = shown(table[row], column);
    if (column[1] === 0) box.title = table[row][0];
  }
  if (placeOf.has(row)) {
    const link = document.createElement("a");
    link.href = "#micrograph";
    link.textContent = shortName(table[row][0]);
    link.addEventListener("click", () => change(placeOf.get(row)));
    line.cells[0].replaceChildren(link);
  }
  return line;
}

function compare(a, b) { // what is missing comes last, either way
  if (a === null || b === null) return (a === null) - (b === null);
  const sign = sorted.up ? 1 : -1;
  return sign * (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
}

function arrange() {
  const wanted = $("filter").value.toLowerCase();
  order = table.map((_, row) => row).filter((row) => table[row][0].toLowerCase().includes(wanted));
  if (sorted.column !== null) {
    const place = COLUMNS[sorted.column][1];
    order.sort((a, b) => compare(table[a][place], table[b][place]));
  }
  page = 0;
  fill();
}

COLUMNS.forEach(([heading, , ...rest], column) => {
  const head = document.createElement("th");
  head.textContent = heading;
  head.className = rest.length ? "number" : "";
  head.addEventListener("click", () => {
    sorted = { column, up: sorted.column === column ? !sorted.up : true };
    for (const other of $("columns").children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sorted.up ? "ascending" : "descending");
    arrange();
  });
  $("columns").append(head);
});
$("filter").addEventListener("input", arrange);
$("back").addEventListener("click", () => { page--; fill(); });
$("forth").addEventListener("click", () => { page++; fill(); });
$("table-csv").addEventListener("click", () =>
  save([TABLE_NAMES, ...table].map((line) => line.map(cell).join(",")).join("\n") + "\n", "parfocal-micrographs.csv"));

// --- start ------------------------------------------------------------------------------------

if (folder) $("folder").textContent = `All are in ${folder}`;
fill();
for (const id of ["ladder", "histograms", "curves", "overview", "spectra"])
  if ($(`data-${id}`)) figures[id] = parsed(`data-${id}`);
if (micrographs.length) show(0);
for (const id of Object.keys(figures)) watcher.observe($(`plot-${id}`));
window.addEventListener("beforeprint", () => Object.keys(figures).forEach(draw));

"use strict";
// Numbers of figures and tables: as the page stores them, as people read them, and as CSV.

const $ = (id) => document.getElementById(id);
const parsed = (id) => JSON.parse($(`data-${id}`).textContent);

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
  return /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : String(value);
}

const csvText = (lines) => lines.map((line) => line.map(cell).join(",")).join("\n") + "\n";

const ENTITIES = { lt: "<", gt: ">", quot: '"', "#x27": "'", amp: "&" };
const plain = (text) => // texts of figures are escaped for plotly
  typeof text === "string" ? text.replace(/&(lt|gt|quot|#x27|amp);/g, (_, name) => ENTITIES[name]) : text;

function csvOf(traces) { // of the traces whose meta names columns
  const header = ["series"], lines = [];
  const counted = traces.filter((trace) => trace.meta && trace.meta.columns);
  for (const { meta } of counted)
    for (const name of Object.values(meta.columns).flat())
      if (!header.includes(name)) header.push(name);
  for (const trace of counted) {
    const columns = {};
    for (const [key, names] of Object.entries(trace.meta.columns)) {
      const array = values(key.split(".").reduce((at, part) => at?.[part], trace));
      [names].flat().forEach((name, i) => {
        columns[name] = array.map((value) => plain(Array.isArray(names) ? value[i] : value));
      });
    }
    const length = Math.max(...Object.values(columns).map((column) => column.length));
    for (let i = 0; i < length; i++)
      lines.push([trace.meta.series, ...header.slice(1).map((name) => columns[name]?.[i])]);
  }
  return csvText([header, ...lines]);
}

function save(text, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = `parfocal-${name}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}

"use strict";
// Figures, each drawn when it comes near the window.

const CONFIG = {
  responsive: true,
  displaylogo: false,
  scrollZoom: false, // the wheel scrolls the page
  // Plotly 4's bar has a button that uploads the data to its makers: unpublished data stay here.
  showSendToCloud: false,
  plotlyServerURL: "",
  modeBarButtonsToRemove: ["sendChartToCloud", "toImage", "select2d", "lasso2d"],
};
const HEIGHT = 400; // px, of a figure that does not say
const figures = {}; // id -> the figure as stored

function draw(id) {
  const plot = $(`plot-${id}`), { data, layout } = structuredClone(figures[id]); // plotly decodes in place
  layout.height ??= HEIGHT;
  const marks = layout.meta?.linked ? marksOf(figures[id].data) : [];
  Plotly.react(plot, [...data, ...marks.map((mark) => mark.trace)], layout, CONFIG);
  if (layout.meta?.linked) link(plot, figures[id].data, marks);
}

const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries)
    if (isIntersecting) {
      watcher.unobserve(target);
      draw(target.id.replace("plot-", ""));
    }
}, { rootMargin: "400px" });

function saveImage(id, format) {
  const { width, height } = $(`plot-${id}`).getBoundingClientRect();
  const scale = format === "png" ? 2 : 1;
  Plotly.downloadImage($(`plot-${id}`), { format, width, height, scale, filename: `parfocal-${id}` });
}

function offerToSave(section) {
  for (const button of section.querySelectorAll("[data-save]"))
    button.addEventListener("click", () => {
      const format = button.dataset.save;
      if (format === "csv") save(csvOf(figures[section.id].data), section.id);
      else saveImage(section.id, format);
    });
}

function drawWhenNear(id) { // its place is kept, so that nothing jumps
  const plot = $(`plot-${id}`);
  plot.style.minHeight = `${figures[id].layout.height ?? HEIGHT}px`;
  watcher.observe(plot);
}

function makeFigure(section) {
  figures[section.id] = parsed(section.id);
  offerToSave(section);
  drawWhenNear(section.id);
}

// --- one of several figures -------------------------------------------------------------------

function makeChooser(section) {
  const { table, names, facts, figures: all } = parsed(section.id);
  if (!all.length) return;
  const find = (part) => section.querySelector(part), select = find("select");
  const rows = tables[table];
  const show = (place) => {
    select.selectedIndex = place;
    find(".previous").disabled = place === 0;
    find(".next").disabled = place === all.length - 1;
    find(".facts").textContent = facts[place] || (rows ? rows.facts(names[place]) : "");
    figures[section.id] = all[place];
  };
  const change = (place) => { show(place); draw(section.id); };
  names.forEach((name) => select.add(new Option(rows ? rows.short(name) : name)));
  select.addEventListener("change", () => change(select.selectedIndex));
  find(".previous").addEventListener("click", () => change(select.selectedIndex - 1));
  find(".next").addEventListener("click", () => change(select.selectedIndex + 1));
  if (rows) rows.leadTo(section.id, new Map(names.map((name, place) => [name, () => change(place)])));
  offerToSave(section);
  show(0);
  drawWhenNear(section.id);
}

"use strict";
// Linked panels: a point that is pointed at is marked in every panel that has a point of the same
// id, and 3D panels turn together. For figures whose layout.meta.linked is true.

const MARK = { color: "#D55E00", opacity: 0.9 };

function panelOf(trace) {
  return trace.type === "scatter3d" ? trace.scene || "scene" : `${trace.xaxis || "x"} ${trace.yaxis || "y"}`;
}

function marksOf(traces) { // for each panel with ids: where each id is, and a trace to mark one
  const panels = new Map();
  for (const trace of traces) {
    if (!trace.ids) continue;
    const panel = panelOf(trace), deep = trace.type === "scatter3d";
    if (!panels.has(panel)) panels.set(panel, { panel, deep, places: new Map(), trace: markTrace(trace, deep) });
    const [x, y, z] = [trace.x, trace.y, trace.z].map(values);
    values(trace.ids).forEach((id, i) => panels.get(panel).places.set(id, [x[i], y[i], z[i]]));
  }
  return [...panels.values()];
}

function markTrace({ scene, xaxis, yaxis }, deep) {
  const trace = { type: deep ? "scatter3d" : "scatter", mode: "markers", x: [null], y: [null],
    hoverinfo: "skip", showlegend: false };
  // A ring no larger than a point, so that the axes stay as they are.
  if (deep) return { ...trace, z: [null], scene, marker: { ...MARK, size: 9 } };
  const ring = { symbol: "circle-open", size: 10, line: { width: 3.5 } };
  return { ...trace, xaxis, yaxis, marker: { ...MARK, ...ring } };
}

function link(plot, traces, marks) { // again for every figure that is drawn in this place
  const first = !plot.linked;
  const ids = traces.map((trace) => trace.ids && values(trace.ids));
  plot.linked = { ids, panels: traces.map(panelOf), marks, n: traces.length };
  if (!first) return;
  for (const event of ["plotly_hover", "plotly_click"])
    plot.on(event, ({ points: [{ curveNumber, pointNumber }] }) =>
      mark(plot, plot.linked.ids[curveNumber]?.[pointNumber], plot.linked.panels[curveNumber]));
  plot.on("plotly_relayout", (changed) => turn(plot, changed));
}

function mark(plot, id, from) {
  const { marks, n, last } = plot.linked;
  if (id === undefined || (last?.id === id && last.from === from)) return;
  plot.linked.last = { id, from };
  // In 3D a mark over the point that is pointed at would hide it, and its label, from the mouse.
  const hidden = ({ deep, panel, places }) => (deep && panel === from) || !places.has(id);
  const places = marks.map((one) => (hidden(one) ? [null, null, null] : one.places.get(id)));
  const along = (axis) => places.map((place) => [place[axis]]);
  const z = places.map((place, i) => (marks[i].deep ? [place[2]] : undefined));
  Plotly.restyle(plot, { x: along(0), y: along(1), z }, marks.map((_, i) => n + i));
}

function turn(plot, changed) {
  const [turned] = Object.keys(changed).filter((key) => /^scene\d*\.camera$/.test(key));
  if (!turned || plot.linked.turning) return;
  const others = Object.keys(plot.layout)
    .filter((key) => /^scene\d*$/.test(key) && `${key}.camera` !== turned);
  if (!others.length) return;
  plot.linked.turning = true; // what follows is an event of this kind too
  const cameras = others.map((scene) => [`${scene}.camera`, changed[turned]]);
  Plotly.relayout(plot, Object.fromEntries(cameras)).finally(() => { plot.linked.turning = false; });
}

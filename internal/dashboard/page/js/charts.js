// The live charts. Samples come by the second and are kept for an hour, as the server keeps them; a page that is opened
// late begins with what the server remembers.

import {$, el, text} from "./dom.js";
import {short, perSecond, bytes, ms, count, clock} from "./format.js";

const KEPT_MS = 3600_000;
const RANGES = [["5 min", 300], ["15 min", 900], ["1 hour", 3600]];

// Each chart: what it shows, its unit on the axis, how its numbers are written, and its series [column, label, colour].
// figure is the large number beside the title.
const CHARTS = [
  {id: "commands", title: "Commands", axis: "commands / s", write: perSecond, tick: short, fill: true,
    figure: s => perSecond(sum(s, "reads_per_s", "writes_per_s", "scripts_per_s", "transactions_per_s", "others_per_s")),
    series: [["reads_per_s", "reads", "--c1"], ["writes_per_s", "writes", "--c2"], ["scripts_per_s", "scripts", "--c3", true],
      ["transactions_per_s", "transactions", "--c4", true], ["others_per_s", "others", "--c5", true], ["failed_per_s", "errors", "--c-bad", true]]},
  {id: "source", title: "Latency of the source", axis: "ms", write: ms, tick: short, log: true, figure: s => ms(s.source_p99_ms), of: "p99",
    series: [["source_p50_ms", "p50", "--c1-soft"], ["source_p95_ms", "p95", "--c1-mid"], ["source_p99_ms", "p99", "--c1"]]},
  {id: "target", title: "Latency of the target", axis: "ms", write: ms, tick: short, log: true, figure: s => ms(s.target_p99_ms), of: "p99",
    series: [["target_p50_ms", "p50", "--c2-soft"], ["target_p95_ms", "p95", "--c2-mid"], ["target_p99_ms", "p99", "--c2"]]},
  {id: "lag", title: "Lag", axis: "ms", write: ms, tick: short, fill: true, figure: s => ms(s.lag_ms),
    series: [["lag_ms", "oldest effect that waits", "--c3"]]},
  {id: "dirty", title: "Dirty keys", axis: "keys", write: count, tick: short, fill: true, figure: s => count(s.dirty_keys),
    series: [["dirty_keys", "keys whose copy is owed", "--c4"]]},
  {id: "copies", title: "Copy rate", axis: "keys / s", axis2: "bytes / s", write: perSecond, tick: short, fill: true,
    figure: s => perSecond(s.copies_per_s),
    series: [["copies_per_s", "keys", "--c2"], ["copied_bytes_per_s", "bytes", "--c5", false, "y2", v => bytes(v) + "/s"]]},
];

const sum = (s, ...names) => names.reduce((all, name) => all + (s[name] ?? 0), 0);

let columns = [];   // names, "at" first
let data = [];      // by column, in the order of time
let marks = [];     // phases that were entered: [at, name]
let seconds = 300;  // shown
let hovered = null; // index of the sample under the pointer
const drawn = new Map();

export const lastAt = () => data[0]?.at(-1) ?? 0;

// latest is the last sample as an object; null before the first.
export function latest() {
  return data[0]?.length ? sampleAt(data[0].length - 1) : null;
}

const sampleAt = i => Object.fromEntries(columns.map((name, c) => [name, data[c][i]]));

// take adds the samples of a series that are new.
export function take(series) {
  if (columns.length !== series.columns.length) {
    columns = series.columns;
    data = columns.map(() => []);
  }
  let last = lastAt();
  for (const row of series.rows) {
    if (row[0] <= last) continue;
    if (last && row[0] - last > 3 * series.interval_ms) { // a gap: nobody knows what was there
      columns.forEach((_, c) => data[c].push(c === 0 ? last + series.interval_ms : null));
    }
    columns.forEach((_, c) => data[c].push(row[c] ?? null));
    last = row[0];
  }
  const oldest = last - KEPT_MS;
  let drop = 0;
  while (drop < data[0].length && data[0][drop] < oldest) drop++;
  if (drop) data = data.map(column => column.slice(drop));
}

export function setMarks(all) {
  marks = all;
}

// colour reads a colour of the theme; canvas knows no variables.
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function translucent(c, alpha) {
  const [r, g, b] = [1, 3, 5].map(i => parseInt(c.slice(i, i + 2), 16));
  return `rgba(${r},${g},${b},${alpha})`;
}

export function buildCharts() {
  $("range").replaceChildren(...RANGES.map(([label, s]) => el("label", {},
    el("input", {type: "radio", name: "range", value: String(s), checked: s === seconds, onchange: () => {
      seconds = s;
      drawCharts();
    }}), el("span", {}, label))));
  $("charts").replaceChildren(...CHARTS.map(c => el("figure", {class: "card chart", id: "chart-" + c.id},
    el("figcaption", {},
      el("h3", {}, c.title),
      el("p", {class: "figure"}, el("span", {class: "value"}, "–"), c.of ? el("span", {class: "of"}, c.of) : null)),
    el("ul", {class: "legend"}, c.series.map(([, label, tone]) => el("li", {}, el("i", {class: "key k" + tone, "aria-hidden": "true"}), label, " ", el("b", {}, "–")))),
    el("div", {class: "plot", role: "img", "aria-label": c.title}))));
  rebuild();
  new ResizeObserver(() => drawn.forEach((u, id) => u.setSize(sizeOf(id)))).observe($("charts"));
}

function sizeOf(id) {
  const plot = $("chart-" + id).querySelector(".plot");
  return {width: Math.max(plot.clientWidth, 120), height: Math.max(plot.clientHeight, 120)};
}

// rebuild makes the charts anew, in the colours of the present theme.
export function rebuild() {
  drawn.forEach(u => u.destroy());
  drawn.clear();
  for (const c of CHARTS) drawn.set(c.id, new uPlot(options(c), columnsOf(c), $("chart-" + c.id).querySelector(".plot")));
  drawCharts();
}

const columnsOf = c => [data[0] ?? [], ...c.series.map(([name]) => data[columns.indexOf(name)] ?? [])];

function options(c) {
  const size = parseFloat(getComputedStyle(document.documentElement).fontSize) * 0.72;
  const font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
  const ink = colour("--dim"), grid = colour("--grid");
  const axis = more => ({font, labelFont: font, stroke: ink, grid: {stroke: grid, width: 1}, ticks: {show: false}, labelGap: 0, ...more});
  const atLeast = (u, low, high) => [0, high > 0 ? high * 1.08 : 1];
  // From microseconds to seconds nothing but powers of ten shows both.
  const powers = (u, low, high) => high > 0 ? [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high * 1.01))] : [.1, 10];
  const tens = (u, i, low, high) => Array.from({length: Math.round(Math.log10(high / low)) + 1}, (_, n) => low * 10 ** n);
  const scales = {x: {time: true}, y: c.log ? {distr: 3, range: powers} : {range: atLeast}};
  const axes = [
    axis({space: size * 7, size: size * 2.2, gap: size * .5, grid: {show: false}, values: (u, at) => at.map(v => clock(v).slice(0, seconds > 600 ? 5 : 8))}),
    axis({scale: "y", splits: c.log ? tens : undefined, filter: c.log ? (u, all) => all : undefined, label: c.axis, labelSize: size * 1.6, size: size * 4, gap: size * .4, space: size * 3, values: (u, all) => all.map(c.tick)}),
  ];
  if (c.axis2) {
    scales.y2 = {range: atLeast};
    axes.push(axis({scale: "y2", side: 1, label: c.axis2, labelSize: size * 1.6, size: size * 5.4, gap: size * .4, space: size * 3, grid: {show: false},
      incrs: Array.from({length: 40}, (_, i) => 2 ** i), values: (u, all) => all.map(v => bytes(v))}));
  }
  return {
    ...sizeOf(c.id), ms: 1, padding: [size * .6, c.axis2 ? 0 : size * 2.2, 0, 0], legend: {show: false}, scales, axes,
    cursor: {y: false, drag: {x: false, y: false}, points: {size: 6}, sync: {key: "tandem"}},
    series: [{}, ...c.series.map(([, label, tone, , scale]) => ({
      label, scale: scale ?? "y", stroke: colour(tone), width: 1.6, points: {show: false}, spanGaps: false,
      fill: c.fill && !scale ? translucent(colour(tone), .1) : undefined,
    }))],
    hooks: {
      setCursor: [u => {
        const i = u.cursor.idx;
        if (i === hovered) return;
        hovered = i ?? null;
        legends();
      }],
      drawClear: [u => drawMarks(u, ink, font)],
    },
  };
}

// drawMarks draws when a phase was entered.
function drawMarks(u, ink, font) {
  const {ctx, bbox} = u;
  ctx.save();
  ctx.strokeStyle = ink;
  ctx.fillStyle = ink;
  ctx.globalAlpha = .75;
  ctx.font = font.replace(/^[\d.]+px/, s => parseFloat(s) * .92 * devicePixelRatio + "px");
  ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
  ctx.textBaseline = "top";
  ctx.textAlign = "left";
  let free = -Infinity; // names do not overlap
  for (const [at, name] of marks) {
    if (at < u.scales.x.min || at > u.scales.x.max) continue;
    const x = Math.round(u.valToPos(at, "x", true));
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const width = ctx.measureText(name).width;
    const gap = 4 * devicePixelRatio, right = x + gap + width < bbox.left + bbox.width; // else to the left of its line
    const from = right ? x + gap : x - gap - width;
    if (from > free) {
      ctx.fillText(name, from, bbox.top);
      free = from + width + 2 * gap;
    }
  }
  ctx.restore();
}

// drawCharts shows what there is.
export function drawCharts() {
  const last = lastAt();
  if (!last) return;
  // The time asked for, or what there is of it; a minute at least, so that the first seconds do not fill the chart.
  const first = Math.max(last - seconds * 1000, Math.min(data[0][0], last - 60_000));
  for (const c of CHARTS) {
    const u = drawn.get(c.id);
    u.batch(() => {
      u.setData(columnsOf(c), false);
      u.setScale("x", {min: first, max: last});
    });
  }
  legends();
}

// legends tell the numbers under the pointer, else the latest; series that have never been other than 0 only take room.
function legends() {
  const n = data[0]?.length ?? 0;
  if (!n) return;
  const s = sampleAt(hovered !== null && hovered < n ? hovered : n - 1);
  for (const c of CHARTS) {
    const figure = $("chart-" + c.id);
    text(figure.querySelector(".value"), c.figure(s));
    const said = [];
    figure.querySelectorAll(".legend li").forEach((li, i) => {
      const [name, label, , optional, , write] = c.series[i];
      const value = (write ?? c.write)(s[name]);
      text(li.querySelector("b"), value);
      if (optional) li.hidden = !(data[columns.indexOf(name)] ?? []).some(v => v > 0);
      if (!li.hidden) said.push(`${label} ${value}`);
    });
    figure.querySelector(".plot").setAttribute("aria-label", `${c.title}, chart of the last ${seconds / 60} minutes: ${said.join(", ")}`);
  }
}

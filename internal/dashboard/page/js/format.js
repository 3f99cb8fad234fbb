// How numbers, times and keys are written, everywhere the same. What is not known is a dash.

export const NONE = "–";
const missing = v => v === null || v === undefined || Number.isNaN(v);

const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});

// count writes all digits: 1,204,331.
export const count = v => missing(v) ? NONE : whole.format(v);

// short writes three digits that matter: 1.2k, 34.5k, 1.2M.
export function short(v) {
  if (missing(v)) return NONE;
  for (const [unit, name] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(v) >= unit) return digits(v / unit) + name;
  }
  return digits(v);
}

function digits(v) {
  const a = Math.abs(v);
  if (a >= 99.95 || a === 0 || Number.isInteger(v)) return whole.format(v);
  return v.toFixed(a >= 9.995 ? 1 : 2).replace(/\.?0+$/, "");
}

export const perSecond = v => missing(v) ? NONE : short(v) + "/s";

export function bytes(v) {
  if (missing(v)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (v >= 1024 && i < units.length - 1) {
    v /= 1024;
    i++;
  }
  return digits(v) + " " + units[i];
}

// ms writes a duration in the unit that suits it.
export function ms(v) {
  if (missing(v)) return NONE;
  if (v >= 60_000) return seconds(v / 1000);
  if (v >= 1000) return digits(v / 1000) + " s";
  if (v > 0 && v < 1) return whole.format(v * 1000) + " µs";
  return digits(v) + " ms";
}

// signed is a difference of times.
export const signed = v => missing(v) ? NONE : Math.abs(v) < .0005 ? "0 ms" : (v < 0 ? "−" : "+") + ms(Math.abs(v));

export function seconds(v) {
  if (missing(v)) return NONE;
  v = Math.round(v);
  const d = Math.floor(v / 86400), h = Math.floor(v % 86400 / 3600), m = Math.floor(v % 3600 / 60), s = v % 60;
  if (d) return `${d} d ${h} h`;
  if (h) return `${h} h ${m} min`;
  if (m) return m >= 10 ? `${m} min` : `${m} min ${s} s`;
  return `${s} s`;
}

export const percent = v => missing(v) ? NONE : (v >= 99.95 || v === 0 ? v.toFixed(0) : v.toFixed(1)) + " %";

const pad = n => String(n).padStart(2, "0");

// clock is the time of day in the reader's zone; moment has the date too, if it is another day.
export function clock(unixMs) {
  if (missing(unixMs)) return NONE;
  const t = new Date(unixMs);
  return `${pad(t.getHours())}:${pad(t.getMinutes())}:${pad(t.getSeconds())}`;
}

export function moment(unixMs) {
  if (missing(unixMs)) return NONE;
  const t = new Date(unixMs), now = new Date();
  if (t.toDateString() === now.toDateString()) return clock(unixMs);
  return `${t.getFullYear()}-${pad(t.getMonth() + 1)}-${pad(t.getDate())} ${clock(unixMs)}`;
}

// plural: 1 key, 2 keys.
export const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;

// Making elements. All that comes from the server goes in as text, never as markup.

export const $ = id => document.getElementById(id);

// el makes an element: el("p", {class: "dim"}, "text", another). Attributes that are false or null are left out; those
// that begin with "on" are listeners.
export function el(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) e.addEventListener(key.slice(2), value);
    else e.setAttribute(key, value === true ? "" : value);
  }
  e.append(...children.flat().filter(c => c !== null && c !== undefined && c !== false));
  return e;
}

export function svg(name, attributes = {}, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  e.append(...children);
  return e;
}

// fill replaces what an element holds if that has changed: a reader's selection, focus and scroll position stay.
export function fill(e, key, make) {
  if (e.dataset.shown === key) return;
  e.dataset.shown = key;
  e.replaceChildren(...[make()].flat().filter(c => c !== null && c !== undefined && c !== false));
}

// text sets an element's text if that has changed, so that nothing is read out twice.
export function text(e, value) {
  if (e.textContent !== value) e.textContent = value;
}

// facts is a list of names and values.
export function facts(pairs) {
  return el("dl", {class: "facts"}, pairs.filter(Boolean).map(([name, value, tone]) =>
    el("div", {}, el("dt", {}, name), el("dd", {class: tone}, value))));
}

// table has a caption for who cannot see what stands around it. Columns: [heading, cell, "number"|"code"|""].
export function table(caption, columns, rows) {
  return el("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": caption}, el("table", {},
    el("caption", {class: "unseen"}, caption),
    el("thead", {}, el("tr", {}, columns.map(([heading, , kind]) => el("th", {scope: "col", class: kind}, heading)))),
    el("tbody", {}, rows.map(r => el("tr", {}, columns.map(([, cell, kind]) => el("td", {class: kind}, cell(r))))))));
}

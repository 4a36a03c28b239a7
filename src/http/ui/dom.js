// Elements and words. What comes from the API is put into text nodes only, never read as HTML.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "rect", "line", "title", "g", "a-svg"]);

/** Makes an element: `props` that begin with `on` are handlers, `key` names it among its siblings, the others are attributes. */
export function h(tag, props, ...children) {
  const node = DRAWN.has(tag)
    ? document.createElementNS(SVG, tag === "a-svg" ? "a" : tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node[name] = value;
    else if (name === "key") node.key = value;
    else if (name === "value") { node.setAttribute("value", value); node.value = value; }
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const HANDLERS = ["onclick", "oninput", "onchange", "onsubmit", "onscroll"];

/** Makes `old` look like `fresh` and keeps what is the same, with focus, selection and place. `fresh` is used up. */
export function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || old.key !== fresh.key) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  // Whoever made it fills it and keeps it.
  if (old.hasAttribute("data-own")) return;
  for (const { name } of [...old.attributes]) {
    // What its reader has opened stays open.
    if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
  }
  for (const { name, value } of [...fresh.attributes]) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const name of HANDLERS) if (old[name] !== fresh[name]) old[name] = fresh[name];
  morphChildren(old, [...fresh.childNodes]);
}

function morphChildren(old, fresh) {
  const keyed = new Map();
  for (const child of old.childNodes) if (child.key !== undefined) keyed.set(child.key, child);
  let at = old.firstChild;
  for (const child of fresh) {
    const same = child.key === undefined ? null : keyed.get(child.key);
    if (same) {
      // What stands between and has no name is not moved behind: a node that is moved loses its place and its focus.
      while (at && at !== same && at.key === undefined) {
        const next = at.nextSibling;
        at.remove();
        at = next;
      }
      if (same === at) at = at.nextSibling;
      else old.insertBefore(same, at);
      keyed.delete(child.key);
      morph(same, child);
    } else if (at && at.key === undefined && child.key === undefined) {
      const next = at.nextSibling;
      morph(at, child);
      at = next;
    } else {
      old.insertBefore(child, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/** Shows this in place of what `parent` holds. */
export function show(parent, ...nodes) {
  const fresh = nodes.flat(9).filter((node) => node);
  morphChildren(parent, fresh.map((node) => (typeof node === "string" ? document.createTextNode(node) : node)));
}

/** A table below a caption; `rows` are arrays of cells, each with a key. The first cell heads its row. */
export function table(caption, heads, rows, empty) {
  if (rows.length === 0) return h("p", { class: "none" }, empty);
  // The heads are said again beside the cells where the screen is too narrow for a table; the roles make it one all the same.
  const cell = (content, index) =>
    index === 0
      ? h("th", { scope: "row", role: "rowheader", "data-head": heads[0] }, content)
      : h("td", { role: "cell", "data-head": heads[index] }, content);
  return h("div", { class: "wide", role: "region", "aria-label": caption, tabindex: "0" },
    h("table", { role: "table" },
      h("caption", { class: "unseen" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads.map((head) => h("th", { scope: "col", role: "columnheader" }, head)))),
      h("tbody", { role: "rowgroup" }, rows.map(({ key, cells, class: name }) => h("tr", { key, role: "row", class: name }, cells.map(cell))))));
}

/** Pairs of a term and what it is. */
export function facts(pairs) {
  const known = pairs.filter((pair) => pair && pair[1] !== null && pair[1] !== undefined && pair[1] !== "");
  return h("dl", { class: "facts" }, known.map(([term, what]) => h("div", { key: term }, h("dt", {}, term), h("dd", {}, what))));
}

const GOOD = new Set(["alive", "successful", "success", "leader", "enabled"]);
const BAD = new Set(["down", "critical", "errored", "failure", "timed-out", "failed"]);
const BUSY = new Set(["suspect", "running", "retrying", "buffering", "waiting", "cancelled", "planned"]);

/** A word with a colour that the word alone also tells. */
export function badge(word, as) {
  const of = as || word;
  const kind = GOOD.has(of) ? "good" : BAD.has(of) ? "bad" : BUSY.has(of) ? "busy" : "calm";
  return h("span", { class: `badge ${kind}` }, word);
}

/** A length of time in milliseconds: `850 ms`, `12.3 s`, `4 min 5 s`, `3 h 10 min`, `5 d 2 h`. */
export function span(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "";
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60000) return `${(ms / 1000).toFixed(ms < 10000 ? 1 : 0)} s`;
  const s = Math.floor(ms / 1000);
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** The same without parts of a second, for what counts up and down before the reader's eyes. */
function coarse(ms) {
  return ms < 60000 ? `${Math.max(0, Math.round(ms / 1000))} s` : span(ms);
}

/** The date and time on the reader's clock. */
export function moment(at) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "";
  const two = (number) => String(number).padStart(2, "0");
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return date.toDateString() === new Date().toDateString() ? time : `${day} ${time}`;
}

function distance(at, word) {
  const ms = Date.now() - Date.parse(at);
  if (word === "for") return coarse(Math.abs(ms));
  return ms >= 0 ? `${coarse(ms)} ago` : `in ${coarse(-ms)}`;
}

/** A moment as its distance from now, kept current; `word` is `for` where only the length matters. */
export function when(at, word) {
  if (!at) return "";
  return h("time", { datetime: at, title: moment(at), "data-word": word || "ago" }, distance(at, word));
}

/** Brings the distances up to date. */
export function tick() {
  for (const time of document.querySelectorAll("time[data-word]")) {
    const text = distance(time.dateTime, time.dataset.word);
    if (time.textContent !== text) time.textContent = text;
  }
}

/** Bytes for people. */
export function bytes(count) {
  if (count < 1024) return `${count} B`;
  if (count < 1048576) return `${(count / 1024).toFixed(1)} KiB`;
  return `${(count / 1048576).toFixed(1)} MiB`;
}

/** The address of a page of this page. */
export const link = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;

/** `+3 ~1 -0` with colours. */
export function changes({ add, change, destroy }) {
  return [h("b", { class: "f-green" }, `+${add}`), " ", h("b", { class: "f-yellow" }, `~${change}`), " ", h("b", { class: "f-red" }, `-${destroy}`)];
}

/** A link with a text. */
export const to = (text, ...parts) => h("a", { href: link(...parts) }, text);

/** The first part of a run's id, which is enough for people. */
export const brief = (id) => id.slice(0, 8);

/** Tells a screen reader. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

/** What went wrong, where everybody sees it, until it is closed or the page is left. */
export function notice(text) {
  const box = document.getElementById("notice");
  box.hidden = !text;
  show(box, text ? [h("p", {}, text), h("button", { type: "button", onclick: () => notice("") }, "Close")] : []);
}

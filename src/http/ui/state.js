// Terraform state that the cluster keeps: versions, what differs between two, and going back.

import { badge, brief, bytes, facts, h, moment, notice, table, to } from "./dom.js";
import { get, part } from "./api.js";
import { confirmed } from "./ask.js";

/** A run's id as the state has it, 32 digits, as the other pages have it. */
const uuid = (hex) => `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;

const writer = (of) => (of.run
  ? ["run ", to(brief(of.run), "runs", uuid(of.run)), ` on ${of.agent}, epoch ${of.epoch}`]
  : `a person, through ${of.agent}`);

export function statesPage(context) {
  return {
    every: 10000,
    cares: (event) => event.kind === "run" && event.data && event.data.what === "ended",
    async look(signal) {
      const { states } = await context.get("v1/cluster/state", signal);
      const heads = ["Task", "Version", "Serial", "Size", "Written", "By", "Lock"];
      const rows = states.map((state) => {
        const now = state.versions.find((version) => version.version === state.current);
        const trouble = state.errored.length ? badge(`${state.errored.length} set aside`, "failed") : null;
        return {
          key: state.task,
          cells: [
            [to(state.task, "state", state.task), " ", trouble], now ? String(now.version) : "none", now ? String(now.serial) : "",
            now ? bytes(now.size) : "", now ? moment(now.written_ms) : "", now ? writer(now) : "",
            state.lock ? ["run ", to(brief(state.lock.run), "runs", uuid(state.lock.run)), ` on ${state.lock.agent}`] : "free",
          ],
        };
      });
      context.show(table("Terraform states", heads, rows, "The cluster keeps no Terraform state, or none that you may see."));
    },
  };
}

// Terraform marks what is sensitive; older providers mark nothing, so names that sound like it count as well.
const SECRET = /passw|passphrase|secret|token|private|credential|_pem$|bcrypt|api_?key|access_?key/i;
const HIDDEN = "(hidden)";

/** The paths that Terraform marks within an instance, as texts like `a.b[0]`. */
function marks(instance) {
  return (instance.sensitive_attributes || []).map((path) => (Array.isArray(path) ? path : [path]).reduce((text, step) => {
    const value = step && typeof step === "object" && step.value !== undefined ? step.value : step;
    const of = value && typeof value === "object" ? value.value : value;
    return typeof of === "number" ? `${text}[${of}]` : text ? `${text}.${of}` : String(of);
  }, ""));
}

/** Every value below `value`, by its path. */
function flatten(value, path, into) {
  if (value !== null && typeof value === "object") {
    const entries = Array.isArray(value) ? value.map((item, index) => [`${path}[${index}]`, item]) : Object.entries(value).map(([name, item]) => [path ? `${path}.${name}` : name, item]);
    if (entries.length === 0) into.set(path, Array.isArray(value) ? "[]" : "{}");
    for (const [below, item] of entries) flatten(item, below, into);
  } else {
    into.set(path, JSON.stringify(value));
  }
}

/** Everything that a state has, by its address: values by path, and which are secret. */
function contents(state) {
  const all = new Map();
  for (const [name, output] of Object.entries(state.outputs || {})) {
    const values = new Map();
    flatten(output.value, "", values);
    all.set(`output.${name}`, { values, secret: () => Boolean(output.sensitive) || SECRET.test(name) });
  }
  for (const resource of state.resources || []) {
    const kind = resource.mode === "data" ? "data." : "";
    const address = `${resource.module ? `${resource.module}.` : ""}${kind}${resource.type}.${resource.name}`;
    for (const instance of resource.instances || []) {
      const index = instance.index_key === undefined ? "" : `[${JSON.stringify(instance.index_key)}]`;
      const values = new Map();
      flatten(instance.attributes || {}, "", values);
      const marked = marks(instance);
      const below = (path, mark) => path === mark || path.startsWith(`${mark}.`) || path.startsWith(`${mark}[`);
      const whole = SECRET.test(resource.type);
      all.set(`${address}${index}`, { values, secret: (path) => whole || SECRET.test(path) || marked.some((mark) => below(path, mark)) });
    }
  }
  return all;
}

/** What differs, address by address: `{address, what, lines: [{path, from, to}]}`. */
export function difference(before, after) {
  const [old, fresh] = [contents(before), contents(after)];
  const found = [];
  for (const address of [...new Set([...old.keys(), ...fresh.keys()])].sort()) {
    const [was, is] = [old.get(address), fresh.get(address)];
    const hide = (path) => (was && was.secret(path)) || (is && is.secret(path));
    const paths = [...new Set([...(was ? was.values.keys() : []), ...(is ? is.values.keys() : [])])].sort();
    const lines = [];
    for (const path of paths) {
      const [from, now] = [was && was.values.get(path), is && is.values.get(path)];
      if (from === now) continue;
      const shown = (text) => (text === undefined ? undefined : hide(path) ? HIDDEN : text);
      lines.push({ path, from: shown(from), to: shown(now) });
    }
    if (lines.length || !was || !is) found.push({ address, what: !was ? "added" : !is ? "removed" : "changed", lines });
  }
  return found;
}

function diffView({ from, to: until, found }) {
  if (found.length === 0) return h("p", {}, `Versions ${from} and ${until} have the same resources and outputs.`);
  const line = (sign, path, text) => (text === undefined ? null : h("div", { class: `line ${sign === "+" ? "f-green" : "f-red"}` }, `${sign} ${path}${path ? " = " : ""}${text}`));
  return [
    h("p", { class: "hint" }, "Hidden is what Terraform marks as sensitive and what is named like a secret. A provider that marks nothing may still show one."),
    found.map((one) => h("section", { key: one.address, class: "diff" },
      h("h3", {}, one.address, " ", badge(one.what, one.what === "added" ? "success" : one.what === "removed" ? "failure" : "running")),
      h("pre", { tabindex: "0" }, one.lines.map(({ path, from: was, to: is }) => [line("-", path, was), line("+", path, is)])))),
  ];
}

export function statePage(task, context) {
  const path = `v1/cluster/state/${part(task)}`;
  let state = null;
  let chosen = null;
  let compared = null;

  async function content(version) {
    const { body } = await get(`${path}?version=${version}`);
    // OpenTofu may have encrypted it.
    if (body.version === 4 && !body.encrypted_data) return body;
    throw new Error(`Version ${version} cannot be compared: it is encrypted, or of a format that this page does not know.`);
  }

  async function compare() {
    notice("");
    try {
      const { from, to: until } = chosen;
      const [before, after] = await Promise.all([content(from), content(until)]);
      compared = { from, to: until, found: difference(before, after) };
    } catch (error) {
      compared = null;
      notice(error.message);
    }
    render();
  }

  const restore = (version) => confirmed({
    title: `Restore version ${version} of ${task}?`,
    text: "It becomes the current state, as a new version. The next run plans from it; nothing that exists is changed by this.",
    button: "Restore it", method: "POST", path: `${path}/restore?version=${version}`, done: `Version ${version} of ${task} is restored`,
  }).then((answer) => { if (answer) context.again(); });

  function form() {
    const numbers = state.versions.map((version) => version.version);
    if (numbers.length < 2) return h("p", { class: "hint" }, "There is one version: nothing to compare it with.");
    if (!chosen || !numbers.includes(chosen.from)) chosen = { from: numbers[1], to: numbers[0] };
    const choice = (id, label, end) => [h("label", { for: id }, label), h("select", { id, onchange: (event) => { chosen[end] = Number(event.target.value); } },
      numbers.map((number) => h("option", { key: String(number), value: String(number), selected: chosen[end] === number }, `version ${number}`)))];
    return h("form", { class: "filter", onsubmit: (event) => { event.preventDefault(); compare(); } },
      choice("from", "Compare", "from"), choice("until", "with", "to"), h("button", { type: "submit" }, "Show what differs"));
  }

  function render() {
    const heads = ["Version", "Serial", "Size", "Written", "By", "Lineage", "What to do"];
    const rows = state.versions.map((version) => ({
      key: String(version.version),
      class: version.version === state.current ? "lead" : "",
      cells: [
        [String(version.version), version.version === state.current ? [" ", badge("current", "leader")] : null], String(version.serial), bytes(version.size),
        moment(version.written_ms), writer(version), version.lineage.slice(0, 8),
        version.version === state.current ? "" : h("button", { type: "button", onclick: () => restore(version.version), "aria-label": `Restore version ${version.version}` }, "Restore"),
      ],
    }));
    context.show(
      facts([
        ["Task", to(task, "tasks", task)],
        ["Current version", state.current === null ? "none" : String(state.current)],
        ["Lock", state.lock ? [`held since ${moment(state.lock.since_ms)} by run `, to(brief(state.lock.run), "runs", uuid(state.lock.run)), ` on ${state.lock.agent}`] : "free"],
      ]),
      state.errored.length ? [h("h2", {}, "Set aside"), h("ul", { class: "troubles" }, state.errored.map((one) => h("li", { key: one.path }, `${one.text} `, h("code", {}, one.command))))] : null,
      h("h2", {}, "Versions"), table(`Versions of the state of ${task}`, heads, rows, "No version is kept."),
      h("h2", {}, "What differs"), form(), compared ? diffView(compared) : null);
  }

  return {
    every: 10000,
    cares: (event) => event.kind === "run" && event.data && event.data.task === task,
    async look(signal) {
      ({ state } = await context.get(`${path}/history`, signal));
      render();
    },
  };
}

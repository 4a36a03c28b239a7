// All tasks, with a filter that is quick with a thousand.

import { badge, brief, h, moment, table, to, when } from "./dom.js";

const names = (of) => (of.names ? of.names.join(", ") : `~ ${of.regexp}`);

/** A condition in words. */
export function conditionText(task) {
  const [[kind, of] = ["", {}]] = Object.entries((task && task.condition) || {});
  switch (kind) {
    case "": return "none";
    case "schedule": return `schedule ${of.cron}`;
    case "services": return `services ${names(of)}`;
    case "catalog_services": return `catalog ~ ${of.regexp}`;
    case "consul_kv": return `key ${of.path}${of.recurse ? " and below" : ""}`;
    default: return kind.replaceAll("_", " ");
  }
}

/** What a task does now. */
export function activity(now) {
  const { state, since, until, progress, why } = now.activity;
  if (state === "idle") return "idle";
  const step = progress ? ` ${progress.step}${progress.total ? ` ${progress.done} of ${progress.total}` : ""}` : "";
  return [badge(state), step, since ? [" for ", when(since, "for")] : null, until ? [" until ", moment(until)] : null, why ? ` ${why}` : null];
}

/** How its newest run ended. */
export function result(now) {
  const [newest] = now.events;
  if (!newest) return h("span", { class: "none" }, "has not run");
  const outcome = newest.outcome || (newest.success ? "success" : "failure");
  return [badge(outcome), " ", when(newest.end_time), " ", h("a", { href: `#/runs/${newest.id}`, class: "hint" }, brief(newest.id))];
}

const waits = (now) => Boolean(now.plan && !now.plan.decision);
const drifts = (now) => Boolean(now.drift && now.drift.found);

/** What somebody should look at. */
function marks(now) {
  return [
    waits(now) ? [" ", badge(`plan ${now.plan.summary.text} to approve`, "waiting")] : null,
    drifts(now) ? [" ", badge("drift", "failed")] : null,
  ];
}

const FILTERS = [
  ["all", "all tasks", () => true],
  ["running", "running now", (now) => now.activity.state === "running"],
  ["failed", "failed last", (now) => now.events.length > 0 && !now.events[0].success],
  ["plan", "plan to approve", (now) => waits(now)],
  ["drift", "drift found", (now) => drifts(now)],
  ["waiting", "waiting or retrying", (now) => ["waiting", "retrying", "buffering"].includes(now.activity.state)],
  ["enabled", "enabled", (now) => now.enabled],
  ["disabled", "disabled", (now) => !now.enabled],
  ["new", "never run", (now) => now.events.length === 0],
];

// Rows that are drawn before somebody asks for more: a thousand take a browser a second.
const ROWS = 200;

export function tasksPage(given, context) {
  let limit = ROWS;
  let all = [];
  let defined = new Map();
  let answer = null;
  let words = given.get("q") || "";
  let only = given.get("show") || "all";
  let definedAt = -Infinity;

  function keep() {
    const query = new URLSearchParams();
    if (words) query.set("q", words);
    if (only !== "all") query.set("show", only);
    const text = query.toString();
    history.replaceState(null, "", `#/tasks${text ? `?${text}` : ""}`);
    render();
  }

  function rows() {
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    const [, , keeps] = FILTERS.find(([name]) => name === only) || FILTERS[0];
    return all.filter((now) => keeps(now) && wanted.every((word) => now.words.includes(word)));
  }

  function form() {
    const options = FILTERS.map(([name, text, keeps]) =>
      h("option", { key: name, value: name, selected: name === only }, `${text} (${all.filter(keeps).length})`));
    return h("form", { class: "filter", role: "search", onsubmit: (event) => event.preventDefault() },
      h("label", { for: "words" }, "Search"),
      h("input", { id: "words", type: "search", value: words, placeholder: "name, module, condition", autocomplete: "off", oninput: (event) => { words = event.target.value; keep(); } }),
      h("label", { for: "only" }, "Show"),
      h("select", { id: "only", onchange: (event) => { only = event.target.value; keep(); } }, options));
  }

  function render() {
    if (!answer) return;
    const shown = rows();
    const heads = ["Task", "Condition", "Enabled", "Last run", "Next", "Now"];
    const body = shown.slice(0, limit).map((now) => ({
      key: now.name,
      cells: [
        [to(now.name, "tasks", now.name), h("span", { class: "hint under" }, now.source)],
        now.condition,
        now.enabled ? "yes" : badge("disabled"),
        result(now),
        now.next_run ? when(now.next_run) : "",
        [activity(now), marks(now)],
      ],
    }));
    const empty = all.length ? "No task is like that." : "There are no tasks, or none that you may see.";
    context.show(trouble(answer), form(),
      h("p", { class: "hint", role: "status" }, `${shown.length} of ${all.length} tasks, told by ${answer.answered_by}`),
      table("Tasks", heads, body, empty),
      shown.length > limit
        ? h("p", {}, h("button", { type: "button", onclick: () => { limit = Infinity; render(); } }, `Show the other ${shown.length - limit}`))
        : null);
  }

  return {
    every: 5000,
    cares: (event) => event.kind !== "member",
    async look(signal) {
      answer = await context.get("v1/cluster/tasks", signal);
      const fresh = answer.tasks.some((now) => !defined.has(now.name));
      // Definitions change rarely, and are the larger half.
      if (fresh || performance.now() - definedAt > 60000) {
        const { tasks } = await context.get("v1/tasks", signal);
        defined = new Map(tasks.map((task) => [task.name, task]));
        definedAt = performance.now();
      }
      all = answer.tasks.map((now) => {
        const condition = conditionText(defined.get(now.name));
        return { ...now, condition, words: `${now.name} ${now.source} ${condition} ${now.status}`.toLowerCase() };
      });
      render();
    },
  };
}

/** What is wrong with all of them. */
function trouble(answer) {
  const said = [];
  for (const fault of answer.consul ? answer.consul.faults : []) {
    said.push(`Consul at ${answer.consul.address} cannot be read since ${moment(fault.since)}: ${fault.error} (${fault.queries.length} queries)`);
  }
  for (const [agent, tasks] of Object.entries(answer.differences || {})) {
    said.push(`The files of ${agent} define tasks differently: ${Object.keys(tasks).join(", ")}`);
  }
  return said.length ? h("ul", { class: "troubles" }, said.map((text) => h("li", { key: text }, text))) : null;
}

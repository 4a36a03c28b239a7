// One task: what it is, what it does, its runs, and what can be done with it.

import { badge, brief, changes, facts, h, link, moment, notice, say, span, table, to, when } from "./dom.js";
import { change, get, part } from "./api.js";
import { confirmed, sure, tell } from "./ask.js";
import { activity, conditionText, result } from "./tasks.js";

/** A run as rows of a table show it. */
export function runCells(run) {
  const outcome = run.outcome || run.state;
  const took = run.state === "running" ? [when(run.start_time, "for"), " so far"] : span(run.took_ms);
  return [
    to(brief(run.id), "runs", run.id), badge(outcome), run.start_time ? [moment(run.start_time), " ", h("span", { class: "hint" }, when(run.start_time))] : "",
    took, [run.trigger || "", run.asked_by ? h("span", { class: "hint under" }, run.asked_by) : null],
    run.epoch === null ? "" : String(run.epoch), h("span", { class: "why" }, run.error || ""),
  ];
}
export const RUN_HEADS = ["Run", "Outcome", "Began", "Took", "Trigger", "Epoch", "Error"];

const isBad = (run) => run.outcome === "failure" || run.outcome === "timed-out";

/** How long the runs took, oldest left. */
function plot(runs) {
  const ended = runs.filter((run) => run.took_ms !== null && run.took_ms !== undefined).reverse();
  if (ended.length < 2) return null;
  const longest = Math.max(...ended.map((run) => run.took_ms), 1);
  const wide = 1000 / Math.max(ended.length, 20);
  const bars = ended.map((run, index) => {
    const height = Math.max(3, (run.took_ms / longest) * 100);
    const kind = run.outcome === "success" ? "good" : isBad(run) ? "bad" : "busy";
    const bar = h("rect", { class: kind, x: index * wide, y: 100 - height, width: Math.max(1, wide - 2), height },
      h("title", {}, `${moment(run.start_time)}: ${run.outcome}, ${span(run.took_ms)}`));
    return h("a-svg", { href: link("runs", run.id), tabindex: "-1", key: run.id }, bar);
  });
  const failed = ended.filter(isBad).length;
  const label = `Durations of the last ${ended.length} runs: up to ${span(longest)}, ${failed} failed. The table below has each.`;
  return h("figure", {},
    h("svg", { class: "plot", viewBox: "0 0 1000 100", preserveAspectRatio: "none", role: "img", "aria-label": label }, bars),
    h("figcaption", { class: "hint" }, `${ended.length} runs, oldest left; the tallest took ${span(longest)}`));
}

/** What is not as it was made. */
function drift(now) {
  if (!now.drift) return null;
  const { found, checked, error } = now.drift;
  return [
    h("h2", {}, "Drift ", found ? badge("found", "failed") : badge("none", "success")),
    h("p", { class: "hint" }, "Looked at ", moment(checked), found ? [", seen first ", moment(found.since), ", by ", to(`run ${brief(found.run)}`, "runs", found.run)] : null),
    error ? h("p", { class: "error" }, `The newest look failed: ${error}`) : null,
    found ? h("pre", { tabindex: "0" }, found.text) : null,
  ];
}

/** The plan that waits, with what it changes. `detail` is its text, or why that is not shown. */
function plan(name, now, detail, act) {
  if (!now.plan) return null;
  const { id, made, agent, epoch, trigger, summary, decision } = now.plan;
  const path = `v1/tasks/${part(name)}`;
  const decide = (verb, title, text, button, done) => act({ title, text, button, method: "POST", path: `${path}/${verb}?plan=${part(id)}`, done });
  return [
    h("h2", {}, decision ? `The plan is ${decision.approved ? "approved" : "rejected"}` : "A plan waits for you"),
    facts([
      ["Changes", changes(summary)],
      ["Made", [moment(made), ` by ${agent}, epoch ${epoch}`]],
      ["Trigger", trigger],
      ["Run", to(brief(id), "runs", id)],
      ["Decided", decision ? `${decision.approved ? "approved" : "rejected"} ${moment(decision.at)} by ${decision.by}` : null],
    ]),
    detail.text !== null ? h("pre", { class: "plan", tabindex: "0" }, detail.text) : h("p", {}, detail.why),
    // Whoever may not read it may not decide either.
    decision || detail.text === null ? null : h("p", { class: "buttons", role: "group", "aria-label": "What to do with the plan" },
      h("button", {
        type: "button", class: "strong", onclick: () => decide("approve", `Apply this plan of ${name}?`,
          `${summary.add} to add, ${summary.change} to change, ${summary.destroy} to destroy. Exactly this plan is applied, or none.`, "Apply it", `The plan of ${name} is approved`),
      }, "Approve"),
      h("button", {
        type: "button", onclick: () => decide("reject", `Reject this plan of ${name}?`, "Nothing is changed. The next trigger makes a new plan.", "Reject it", `The plan of ${name} is rejected`),
      }, "Reject")),
  ];
}

function definition(task) {
  return h("details", {}, h("summary", {}, "Definition"), h("pre", { tabindex: "0" }, JSON.stringify(task, null, 2)));
}

/** A plan without changing anything: it may take as long as Terraform does. */
async function inspect(name, busy) {
  const question = `Terraform makes a plan of ${name} with its inputs as they are now. Nothing is changed.`;
  if (!await sure(`Inspect ${name}?`, question, "Inspect it")) return;
  notice("");
  busy(true);
  say(`Inspecting ${name}`);
  try {
    const { inspect: found } = await change("PATCH", `v1/tasks/${part(name)}?run=inspect`, { enabled: true });
    await tell(found.changes_present ? `A run of ${name} would change this` : `A run of ${name} would change nothing`, found.plan || "No changes.");
  } catch (error) {
    notice(error.message);
  }
  busy(false);
}

export function taskPage(name, context) {
  let inspecting = false;
  const path = `v1/tasks/${part(name)}`;
  let detail = { id: "", text: null, why: "" };

  /** The text of the plan that waits: it is read once. */
  async function read(of, signal) {
    if (detail.id === of.id) return;
    try {
      const { body } = await get(`${path}/plan`, signal);
      if (body.plan.id === of.id) detail = { id: of.id, text: body.text, why: "" };
    } catch (error) {
      if (error.name === "AbortError") throw error;
      detail = { id: error.status === 403 ? of.id : "", text: null, why: error.message };
    }
  }

  const act = async (question) => { if (await confirmed(question)) context.again(); };

  function buttons(now, task, again) {
    const button = (text, onclick, disabled) => h("button", { key: text, type: "button", onclick, disabled }, text);
    const running = now.activity.state === "running";
    const flag = (enabled) => act({
      title: `${enabled ? "Enable" : "Disable"} ${name}?`,
      text: enabled ? "It runs again when its condition says so." : `It does not run any more until it is enabled${running ? "; the run under way goes on" : ""}.`,
      button: enabled ? "Enable it" : "Disable it", method: "PATCH", path, body: { enabled }, done: `${name} is ${enabled ? "enabled" : "disabled"}`,
    });
    return h("p", { class: "buttons", role: "group", "aria-label": `What to do with ${name}` },
      // The agent refuses to run what is disabled.
      now.enabled ? button("Run now", () => act({
        title: `Run ${name} now?`, text: running ? "A run is under way: another one follows it." : "It runs at once, with its inputs as they are now.",
        button: "Run it", method: "POST", path: `${path}/run`, done: `A run of ${name} is asked for`,
      })) : null,
      task.module ? button(inspecting ? "Inspecting…" : "Inspect", () => inspect(name, (is) => { inspecting = is; again(); }), inspecting) : null,
      running ? button("Cancel the run", () => act({
        title: `Cancel the run of ${name}?`, text: `It gets SIGINT, and after ${now.grace || "its grace"} SIGKILL. What it has changed stays changed.`,
        button: "Cancel it", method: "POST", path: `${path}/cancel`, done: `The run of ${name} is cancelled`,
      })) : null,
      now.enabled ? button("Disable", () => flag(false)) : button("Enable", () => flag(true)));
  }

  return {
    every: 4000,
    cares: (event) => event.kind !== "member" && (!event.data || !event.data.task || event.data.task === name),
    async look(signal) {
      const [answer, { task }, { runs }] = await Promise.all([
        context.get(`v1/cluster/tasks?task=${part(name)}`, signal),
        context.get(path, signal),
        context.get(`v1/runs?limit=100&task=${part(name)}`, signal),
      ]);
      const now = answer.tasks.find((one) => one.name === name);
      if (!now) {
        context.show(h("p", {}, `${name} is defined, and nothing is known of its runs yet.`), definition(task));
        return;
      }
      if (now.plan) await read(now.plan, signal);
      const running = runs.find((run) => run.state === "running");
      const changed = now.changed ? `${now.changed.what} ${moment(now.changed.at)} by ${now.changed.by}` : null;
      context.show(
        task.description ? h("p", {}, task.description) : null,
        buttons(now, task, context.again),
        facts([
          ["Now", [activity(now), running ? [" ", h("a", { href: link("runs", running.id) }, `run ${brief(running.id)}`)] : null]],
          ["Condition", conditionText(task)],
          ["Enabled", now.enabled ? "yes" : badge("disabled")],
          ["Last run", result(now)],
          ["Next run", now.next_run ? [moment(now.next_run), " ", h("span", { class: "hint" }, when(now.next_run))] : null],
          [task.module ? "Module" : "Command", now.source],
          ["Providers", now.providers.join(", ")],
          ["Timeout", now.timeout],
          ["Changed", changed],
          ["State", task.module ? h("a", { href: link("state", name) }, "versions of its state") : null],
        ]),
        plan(name, now, detail, act),
        drift(now),
        h("h2", {}, "Runs"),
        plot(runs),
        table(`Runs of ${name}`, RUN_HEADS, runs.map((run) => ({ key: run.id, cells: runCells(run) })), "It has not run, or nothing is kept of its runs."),
        definition(task));
    },
  };
}

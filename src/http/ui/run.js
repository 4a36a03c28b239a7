// Runs, and one of them with its log as it comes.

import { bytes, badge, brief, changes, facts, h, moment, say, show, span, table, to, when } from "./dom.js";
import { calm, paint, plain } from "./ansi.js";
import { part, Refused, stream } from "./api.js";
import { confirmed } from "./ask.js";
import { RUN_HEADS, runCells } from "./task.js";

// Lines on the page at most: what is older is in the log, not here.
const LINES_MAX = 20000;
const MARK = /^==> (\d{4}-\d\d-\d\dT\S+) (.*)$/;
const PLAN = /(?:Plan: (?:(\d+) to import, )?(\d+) to add, (\d+) to change, (\d+) to destroy)/;
const APPLIED = /Apply complete! Resources: .*/;

export function runsPage(context) {
  return {
    every: 5000,
    cares: (event) => event.kind !== "member",
    async look(signal) {
      const { runs, answered_by: by } = await context.get("v1/runs?limit=100", signal);
      const heads = [RUN_HEADS[0], "Task", ...RUN_HEADS.slice(1)];
      const rows = runs.map((run) => {
        const [id, ...rest] = runCells(run);
        return { key: run.id, cells: [id, to(run.task, "tasks", run.task), ...rest] };
      });
      context.show(h("p", { class: "hint" }, `The newest ${runs.length}, told by ${by}`), table("Runs", heads, rows, "Nothing has run yet."));
    },
  };
}

/** What a log says besides its lines: steps with their times, and what was planned. */
function Story() {
  return { agent: "", steps: [], plan: null, applied: "" };
}

function learn(story, line) {
  const text = plain(line);
  const mark = text.match(MARK);
  if (mark) {
    const [, at, said] = mark;
    const first = said.match(/ of .* by (\S+), epoch \d+/);
    if (first) [, story.agent] = first;
    const before = story.steps.at(-1);
    if (before) before.until = at;
    story.steps.push({ at, said, until: null });
  }
  const plan = text.match(PLAN);
  if (plan) story.plan = { add: plan[2], change: plan[3], destroy: plan[4], imports: plan[1] };
  else if (/^No changes\./.test(text)) story.plan = { add: "0", change: "0", destroy: "0" };
  const applied = text.match(APPLIED);
  if (applied) [story.applied] = applied;
}

function planText(plan) {
  if (!plan) return null;
  return [
    changes(plan),
    h("span", { class: "hint" }, ` (${plan.add} to add, ${plan.change} to change, ${plan.destroy} to destroy${plan.imports ? `, ${plan.imports} to import` : ""})`),
  ];
}

/** The lines of a log, as they come. */
class Log {
  constructor() {
    this.lines = h("pre", { key: "log", id: "log", class: "log", role: "log", "aria-live": "off", "aria-label": "Log", tabindex: "0", "data-own": "" });
    this.style = calm();
    this.rest = "";
    this.open = null;
    this.follow = true;
    this.story = Story();
    this.lines.onscroll = () => {
      const { scrollHeight, scrollTop, clientHeight } = this.lines;
      this.follow = scrollHeight - scrollTop - clientHeight < 40;
    };
  }

  take(text) {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop();
    if (this.open) this.open.remove();
    const made = document.createDocumentFragment();
    for (const line of lines) {
      // What a carriage return would overwrite is not shown.
      const last = line.replace(/\r$/, "");
      made.append(this.line(last.slice(last.lastIndexOf("\r") + 1), this.style));
      learn(this.story, line);
    }
    // A line whose end has not come is shown as far as it is.
    this.open = this.rest ? this.line(this.rest, { ...this.style }) : null;
    if (this.open) made.append(this.open);
    this.lines.append(made);
    while (this.lines.childElementCount > LINES_MAX) this.lines.firstElementChild.remove();
    this.scroll();
  }

  line(text, style) {
    const mark = MARK.test(text);
    return h("div", { class: mark ? "line mark" : "line" }, paint(text, style));
  }

  note(text) {
    this.lines.append(h("div", { class: "line note" }, text));
    this.scroll();
  }

  scroll() {
    if (this.follow) this.lines.scrollTop = this.lines.scrollHeight;
  }
}

function header(run, story) {
  const ended = run.state === "ended";
  return facts([
    ["Task", to(run.task, "tasks", run.task)],
    ["Outcome", badge(run.outcome || run.state)],
    ["Trigger", run.trigger],
    ["Asked by", run.asked_by],
    ["Began", run.start_time ? [moment(run.start_time), " ", h("span", { class: "hint" }, when(run.start_time))] : "not known"],
    ["Ended", run.end_time ? moment(run.end_time) : null],
    ["Took", ended ? span(run.took_ms) : run.start_time ? [when(run.start_time, "for"), " so far"] : null],
    ["Epoch", run.epoch === null ? "" : String(run.epoch)],
    ["Agent", story.agent],
    ["Exit", exitOf(run.error)],
    ["Plan", planText(story.plan)],
    ["Applied", story.applied],
    ["Log", run.log ? `${bytes(run.log.bytes)}${run.log.left_out ? `, ${bytes(run.log.left_out)} of them left out` : ""}` : "none is kept"],
  ]);
}

// The API tells how a process ended within the error only.
function exitOf(error) {
  const found = (error || "").match(/exit(?:ed with)?(?: status| code)?:? (\d+)/i) || (error || "").match(/(SIG[A-Z]+)/);
  return found ? found[1] : null;
}

function steps(story) {
  if (story.steps.length < 2) return null;
  const items = story.steps.map((step, index) => h("li", { key: String(index) },
    h("span", { class: "at" }, moment(step.at)), " ", step.said.replace(/^run .* by (\S+), epoch \d+: /, "on $1: "),
    step.until ? h("span", { class: "hint" }, ` ${span(Date.parse(step.until) - Date.parse(step.at))}`) : null));
  return [h("h2", {}, "Steps"), h("ol", { class: "events" }, items)];
}

export function runPage(id, context) {
  const log = new Log();
  let connection = null;
  let left = false;
  const slot = h("p", { key: "log-state", id: "log-state", class: "hint", role: "status", "data-own": "" }, "The log is asked for…");
  let run = null;
  let last = null;
  let timer = null;

  const cancel = () => confirmed({
    title: `Cancel the run of ${run.task}?`, text: "It gets SIGINT, and after its grace SIGKILL. What it has changed stays changed.",
    button: "Cancel it", method: "POST", path: `v1/tasks/${part(run.task)}/cancel`, done: `The run of ${run.task} is cancelled`,
  }).then(context.again);

  function render() {
    if (!run) return;
    context.show(
      run.state === "running" ? h("p", { class: "buttons" }, h("button", { type: "button", onclick: cancel }, "Cancel the run")) : null,
      header(run, log.story),
      run.error ? [h("h2", {}, run.state === "running" ? "On its way out" : "Error"), h("pre", { class: "error", tabindex: "0" }, plain(run.error))] : null,
      steps(log.story),
      h("h2", {}, "Log"), slot, log.lines);
  }

  // Lines may come thousands at a time: what stands above them follows a moment later.
  const later = () => { timer = timer || setTimeout(() => { timer = null; render(); }, 200); };

  // Browsers open few connections to one agent, whatever the number of tabs: one in the background gives its own up.
  const hide = () => { if (document.hidden && connection) connection.abort(); };
  document.addEventListener("visibilitychange", hide);

  async function follow() {
    let pause = 1000;
    while (!left) {
      if (document.hidden) {
        await new Promise((resolve) => { document.addEventListener("visibilitychange", resolve, { once: true }); });
        continue;
      }
      connection = new AbortController();
      try {
        for await (const event of stream(`v1/runs/${part(id)}/log?follow=true`, last, connection.signal)) {
          if (event.kind === "open") { pause = 1000; show(slot, "Following"); }
          if (event.id) last = event.id;
          if (event.kind === "log") log.take(event.data.text);
          else if (event.kind === "left-out") log.note(`… ${bytes(event.data.bytes)} are left out here: the log was larger than runs.max_size`);
          else if (event.kind === "end" && !event.data.why) {
            show(slot, "The log is complete.");
            say("The run has ended");
            context.again();
            later();
            return;
          } else if (event.kind === "end") show(slot, `The log breaks off: ${event.data.why}`);
          later();
        }
      } catch (error) {
        if (left) return;
        if (error.name === "AbortError") continue;
        show(slot, error.message);
        if (error instanceof Refused && error.status >= 400 && error.status < 500) return;
      }
      await new Promise((resolve) => { setTimeout(resolve, pause); });
      pause = Math.min(pause * 2, 30000);
    }
  }

  follow();
  return {
    every: 4000,
    cares: (event) => !event.data || !event.data.run || event.data.run.id === id,
    leave() {
      left = true;
      document.removeEventListener("visibilitychange", hide);
      if (connection) connection.abort();
      clearTimeout(timer);
    },
    async look(signal) {
      if (run && run.state === "ended" && run.outcome) return;
      ({ run } = await context.get(`v1/runs/${part(id)}`, signal));
      document.title = `Run ${brief(id)} of ${run.task} – Quorate`;
      render();
      log.scroll();
    },
  };
}

// Which page is shown, and what all pages have in common.

import { get, onTokenWanted, token } from "./api.js";
import { askToken } from "./ask.js";
import { h, moment, notice, show, span, tick } from "./dom.js";
import { connect, disconnect, listen, onReport, Poll } from "./live.js";
import { clusterPage } from "./cluster.js";
import { tasksPage } from "./tasks.js";
import { taskPage } from "./task.js";
import { runPage, runsPage } from "./run.js";
import { statePage, statesPage } from "./state.js";

const element = (id) => document.getElementById(id);
let page = null;
let seen = { at: null, since: null };

function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map((text) => {
    try { return decodeURIComponent(text); } catch { return text; }
  });
  const [name, of] = parts;
  const given = new URLSearchParams(query || "");
  if (name === "tasks" && of) return { title: `Task ${of}`, name, make: (context) => taskPage(of, context) };
  if (name === "tasks") return { title: "Tasks", name, make: (context) => tasksPage(given, context) };
  if (name === "runs" && of) return { title: `Run ${of.slice(0, 8)}`, name, make: (context) => runPage(of, context) };
  if (name === "runs") return { title: "Runs", name, make: runsPage };
  if (name === "state" && of) return { title: `State of ${of}`, name, make: (context) => statePage(of, context) };
  if (name === "state") return { title: "State", name, make: statesPage };
  return { title: "Cluster", name: "cluster", make: clusterPage };
}

function stop() {
  if (!page) return;
  page.poll.stop();
  page.unlisten();
  if (page.leave) page.leave();
  page = null;
}

/** How old what is shown is, when nobody has confirmed it or the agent is silent. */
function age(error) {
  const box = element("stale");
  let text = "";
  if (error && error.status === 0) {
    const old = seen.at ? `What is shown is what it said ${span(Date.now() - seen.at)} ago, at ${moment(seen.at)}.` : "";
    text = `This agent does not answer. ${old}`;
  } else if (seen.since) {
    text = `Nobody leads whom this agent reaches: it shows its own copy, which nobody has confirmed since ${moment(seen.since)} `
      + `(${span(Date.now() - Date.parse(seen.since))} ago).`;
  }
  box.hidden = !text;
  if (box.textContent !== text) show(box, text ? h("p", {}, text) : []);
}

function failed(error) {
  age(error);
  // A missing token is asked for in its own words.
  if (error.status !== 0 && error.status !== 401) page.failed(error);
  if (error.status === 401) show(element("main"), heading(page.title), h("p", {}, "This agent wants to know who you are: ",
    h("button", { type: "button", onclick: () => changeToken("") }, "Give a token")));
}

function complain(of, error) {
  of.complains = true;
  notice(error.message);
}

const heading = (title) => h("h1", {}, title);

function open() {
  if (location.hash === "#main") {
    history.replaceState(null, "", "#/cluster");
  }
  stop();
  notice("");
  const { title, name, make } = route();
  document.title = `${title} – Quorate`;
  for (const anchor of element("pages").children) {
    if (anchor.getAttribute("href") === `#/${name}`) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  const main = element("main");
  main.replaceChildren(heading(title), h("p", { class: "none" }, "Asking the agent…"));
  main.setAttribute("aria-busy", "true");
  seen = { at: null, since: null };
  const own = { title };
  page = own;
  const context = {
    /** Shows this below the heading. `since`: see api.js; left out: the agent speaks for itself. */
    show(...nodes) {
      if (page !== own) return;
      // What went wrong when this was asked for the last time does not any more.
      if (own.complains) notice("");
      own.complains = false;
      main.removeAttribute("aria-busy");
      show(main, heading(title), nodes);
    },
    /** Looks again. */
    again: () => own.poll && own.poll.soon(),
    get: async (path, signal) => {
      const answer = await get(path, signal);
      if (page === own) {
        if (!answer.since || !seen.since || answer.since > seen.since) seen.since = answer.since;
        seen.at = Date.now();
        age();
      }
      return answer.body;
    },
  };
  const made = make(context);
  own.failed = made.failed || ((error) => {
    if (error.status === 404) context.show(h("p", {}, error.message));
    else complain(own, error);
  });
  own.leave = made.leave;
  own.poll = new Poll(made.look, made.every || 5000, failed);
  own.unlisten = listen((event) => { if (!made.cares || made.cares(event)) own.poll.soon(); });
}

// Whoever goes back without one is not asked again before opening another page.
let declined = false;
async function changeToken(why) {
  if (!await askToken(why)) {
    declined = true;
    return;
  }
  declined = false;
  describeToken();
  connect();
  open();
  name();
}

function describeToken() {
  element("token").textContent = token() ? "Token: given" : "Token";
}

onTokenWanted((why) => { if (!declined) changeToken(why); });
onReport((kind, words) => {
  element("dot").className = kind;
  if (element("live").textContent !== words) element("live").textContent = words;
  if (kind === "live") name();
});
// Which agent speaks stands above every page.
async function name() {
  try {
    const { body } = await get("v1/cluster");
    element("agent").textContent = `${body.observed_by}${body.cluster_name ? ` of ${body.cluster_name}` : ""}`;
  } catch {
    // The page says what is wrong; this is asked again when the agent is heard.
  }
}

element("token").onclick = () => changeToken("");
element("skip").onclick = (event) => {
  event.preventDefault();
  element("main").focus();
};
window.addEventListener("hashchange", () => {
  declined = false;
  open();
  element("main").focus();
});
// A tab in the background keeps no connection.
document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
setInterval(tick, 1000);
describeToken();
open();
connect();

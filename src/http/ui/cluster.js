// The cluster as this agent sees it.

import { badge, facts, h, moment, show, span, table, when } from "./dom.js";
import { get } from "./api.js";
import { listen } from "./live.js";

const SHOWN = 20;

function members(cluster) {
  const heads = ["Member", "State", "For", "Voter", "API address", "Gossip address", "Version", "Incarnation"];
  const rows = cluster.members.map((member) => ({
    key: member.id,
    class: member.leader ? "lead" : "",
    cells: [
      [member.id, member.leader ? [" ", badge("leader")] : null, member.id === cluster.observed_by ? [" ", badge("this agent")] : null],
      badge(member.state),
      member.state_since ? when(member.state_since, "for") : "not known",
      member.voter ? "yes" : "no",
      [member.address && member.address !== member.api_address ? `${member.address} ` : "", member.api_address || "a local socket"],
      member.gossip_address,
      member.version,
      String(member.incarnation),
    ],
  }));
  return table("Members", heads, rows, "No members are known yet.");
}

function lease({ details, leader }) {
  if (details.lease_left_ms === null || details.lease_left_ms === undefined) {
    return details.leading ? "" : `what is left of it is known to ${leader} only`;
  }
  return `${span(details.lease_left_ms)} left when this was asked; renewed all the time`;
}

/** What is wrong, loudest first. */
function troubles(cluster) {
  const { details, quorum } = cluster;
  const said = [...(cluster.alarms || [])];
  if (details.high_availability && !quorum.held) {
    const why = cluster.reason || `${quorum.alive} of ${quorum.voters} voters are alive here, ${quorum.needed} are needed`;
    const cut = quorum.alive < quorum.needed;
    const lead = cut ? `${cluster.observed_by} is cut off from the majority` : `${cluster.observed_by} follows nobody who leads`;
    said.push(`${lead}: ${why}. What it shows of the others is what it saw last.`);
  }
  if (details.not_ready) said.push(`${cluster.observed_by} is not ready: ${details.not_ready}`);
  return said.length ? h("ul", { class: "troubles" }, said.map((text) => h("li", { key: text }, text))) : null;
}

function overview(cluster) {
  const { details, quorum } = cluster;
  const voters = `${quorum.alive} of ${quorum.voters} alive, ${quorum.needed} needed`;
  return facts([
    ["Leader", cluster.leader || "nobody"],
    ["Leads for", details.leader_since ? when(details.leader_since, "for") : null],
    ["Why it leads", details.leader_why],
    ["Epoch", String(cluster.epoch)],
    ["Lease", cluster.leader ? lease(cluster) : null],
    ["Voters", details.high_availability ? voters : "a single agent, without a cluster"],
    ["Seen by", cluster.observed_by],
  ]);
}

function epochs(cluster) {
  // Behind a proxy an older agent may answer.
  const all = cluster.details.leaderships || [];
  const heads = ["Epoch", "Leader", "From", "Until", "Led for", "Why it led", "Why it ended"];
  const rows = [...all].reverse().map((of) => ({
    key: `${of.epoch} ${of.from}`,
    cells: [
      String(of.epoch), of.leader, moment(of.from), of.until ? moment(of.until) : badge("leads", "leader"),
      of.until ? span(Date.parse(of.until) - Date.parse(of.from)) : when(of.from, "for"), of.why, of.end,
    ],
  }));
  return [
    h("h2", {}, "Who led"),
    h("p", { class: "hint" }, `As ${cluster.observed_by} saw it since it started${all.length > 99 ? "; the newest 100" : ""}.`),
    strip(all),
    table("Who led", heads, rows, "Nobody has led since this agent started."),
  ];
}

/** The leaderships on one line, each as wide as it was long. */
function strip(all) {
  if (all.length < 2) return null;
  const begin = Date.parse(all[0].from);
  const length = Math.max(1, Date.now() - begin);
  const names = [...new Set(all.map((of) => of.leader))].sort();
  const bars = all.map((of) => {
    const x = ((Date.parse(of.from) - begin) / length) * 1000;
    const width = Math.max(2, ((of.until ? Date.parse(of.until) : Date.now()) - Date.parse(of.from)) / length * 1000 - 1);
    const tone = `tone${names.indexOf(of.leader) % 5}`;
    return h("rect", { class: tone, x, y: 0, width, height: 20 }, h("title", {}, `${of.leader}, epoch ${of.epoch}`));
  });
  const label = `${all.length} leaderships in ${span(length)}; the table below has each of them`;
  return h("svg", { class: "strip", viewBox: "0 0 1000 20", preserveAspectRatio: "none", role: "img", "aria-label": label }, bars);
}

/** What the leader has seen of the members, newest first. */
function happenings(events) {
  const line = (event) => h("li", { key: event.id || event.at },
    h("span", { class: "at" }, moment(event.at)), " ",
    event.kind === "leadership"
      ? (event.what === "lost" ? "nobody leads" : [h("b", {}, event.agent), ` leads with epoch ${event.epoch}`])
      : [h("b", {}, event.agent), " is ", badge(event.what)],
    event.why ? h("span", { class: "hint" }, ` ${event.why}`) : null);
  return [
    h("h2", {}, "What happened"),
    events.length
      ? h("ol", { class: "events" }, [...events].reverse().map(line))
      : h("p", { class: "none" }, "Nothing of the members since the leader leads."),
  ];
}

async function past(signal) {
  let after = "0-0";
  const all = [];
  for (let round = 0; round < 8; round += 1) {
    const { body } = await get(`v1/events?format=json&kind=member,leadership&after=${after}`, signal);
    all.push(...body.events);
    if (body.next === after) break;
    after = body.next;
  }
  return all.slice(-SHOWN);
}

export function clusterPage(context) {
  let events = [];
  let asked = false;
  const unlisten = listen((event) => {
    if ((event.kind === "member" || event.kind === "leadership") && event.data) {
      if (!events.some((known) => known.id && known.id === event.id)) events = [...events, event.data].slice(-SHOWN);
    }
  });
  return {
    every: 3000,
    cares: (event) => event.kind !== "run",
    leave: unlisten,
    async look(signal) {
      const cluster = await context.get("v1/cluster", signal);
      context.show(troubles(cluster), overview(cluster), h("h2", {}, "Members"), members(cluster), epochs(cluster), happenings(events));
      if (asked) return;
      asked = true;
      try {
        const known = await past(signal);
        const ids = new Set(known.map((event) => event.id));
        events = [...known, ...events.filter((event) => !ids.has(event.id))].slice(-SHOWN);
        context.again();
      } catch (error) {
        if (error.name === "AbortError") throw error;
        // Nobody leads who could tell; what is heard from now on is shown.
        asked = error.status === 403;
      }
    },
  };
}

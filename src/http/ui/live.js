// What happens in the cluster, heard once for the whole page; and when a page asks again for what it shows.

import { Refused, stream } from "./api.js";

const listeners = new Set();
let last = null;
let abort = null;
let report = () => {};
/** Whether the agent tells what happens, as words for people. */
export function onReport(callback) { report = callback; }

/** Calls this with every event; returns what ends that. */
export function listen(callback) {
  listeners.add(callback);
  return () => listeners.delete(callback);
}

/** Begins to hear, or begins again: with another token, or after a rest. */
export function connect() {
  if (abort) abort.abort();
  const own = new AbortController();
  abort = own;
  hear(own.signal);
}

export function disconnect() {
  if (abort) abort.abort();
  abort = null;
}

const rest = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); });
});

async function hear(signal) {
  let pause = 1000;
  while (!signal.aborted) {
    let why = "";
    try {
      for await (const event of stream("v1/events", last, signal)) {
        if (event.id) last = event.id;
        if (event.kind === "open") {
          pause = 1000;
          report("live", "live");
        }
        if (event.kind === "leadership") {
          const lost = event.data.what === "lost";
          report(lost ? "none" : "live", lost ? "nobody leads" : "live");
        }
        for (const callback of listeners) callback(event);
      }
    } catch (error) {
      if (signal.aborted) return;
      why = error;
    }
    if (signal.aborted) return;
    const none = why instanceof Refused && (why.status === 503 || why.status === 504);
    const known = why instanceof Refused && why.status !== 0;
    report(none ? "none" : "lost", none ? "nobody leads" : known ? "polling" : "reconnecting");
    await rest(pause * (0.8 + Math.random() * 0.4), signal);
    pause = Math.min(pause * 2, 30000);
  }
}

// Longest rest between two looks.
const REST_MAX = 60000;
// At least so many times as long as a look takes is rested after it, so that a large answer does not keep the agent busy.
const EASE = 8;

/** Looks now, when told to, and from time to time: rarely when it fails. `look` gets a signal and may throw. */
export class Poll {
  constructor(look, every, failed) {
    Object.assign(this, { look, every, failed, pause: every, timer: null, running: false, again: false, stopped: false, ready: 0 });
    this.abort = new AbortController();
    this.wake = () => { if (!document.hidden) this.soon(); };
    document.addEventListener("visibilitychange", this.wake);
    this.run();
  }

  /** Looks as soon as that is fair. */
  soon() {
    if (this.stopped) return;
    if (this.running) { this.again = true; return; }
    this.plan(Math.max(50, this.ready - performance.now()));
  }

  plan(ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.run(), ms);
  }

  async run() {
    // Nobody looks at it: it is brought up to date when somebody does.
    if (this.stopped || document.hidden && this.ready) return;
    this.running = true;
    const began = performance.now();
    try {
      await this.look(this.abort.signal);
      this.pause = this.every;
    } catch (error) {
      if (this.stopped) return;
      this.failed(error);
      this.pause = Math.min(this.pause * 2, REST_MAX);
    }
    if (this.stopped) return;
    const took = performance.now() - began;
    this.running = false;
    this.ready = performance.now() + took * EASE;
    const soon = Math.max(50, took * EASE);
    this.plan(this.again ? soon : Math.max(soon, this.pause));
    this.again = false;
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.abort.abort();
    document.removeEventListener("visibilitychange", this.wake);
  }
}

// The API of the agent that this page comes from, over addresses relative to it, so that a path prefix does not matter.

const BASE = new URL("../", new URL(".", location.href.split("#")[0]));
const KEY = "quorate-token";

/** Why there is no answer. `status` is 0 when nothing came back. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let wanted = () => {};
/** Calls this when a token is needed; `why` is the agent's word. */
export function onTokenWanted(callback) { wanted = callback; }

// Kept for this tab only, and gone with it.
export const token = () => sessionStorage.getItem(KEY) || "";
export function setToken(text) {
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

function headers(more) {
  const own = token();
  return own ? { Authorization: `Bearer ${own}`, ...more } : { ...more };
}

/** The words of a refusal, with what is missing. */
async function refusal(response) {
  let message = "";
  try {
    message = (await response.json()).error.message;
  } catch {
    message = "";
  }
  if (response.status === 401) wanted(message);
  const lead = response.status === 403 ? "Not allowed: " : "";
  return new Refused(response.status, `${lead}${message || `the agent answered with status ${response.status}`}`);
}

async function call(path, options) {
  let response;
  try {
    response = await fetch(new URL(path, BASE), { cache: "no-store", credentials: "omit", redirect: "error", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "this agent does not answer");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

/** The body of an answer; `since` is there when the agent answered with a copy that nobody has confirmed since then. */
export async function get(path, signal) {
  const response = await call(path, { headers: headers({ Accept: "application/json" }), signal });
  const stale = response.headers.get("x-quorate-stale") === "true";
  return { body: await response.json(), since: stale ? response.headers.get("x-quorate-stale-since") : null };
}

/** A change; its answer. */
export async function change(method, path, body) {
  const options = { method, headers: headers({ "Content-Type": "application/json" }) };
  if (body !== undefined) options.body = JSON.stringify(body);
  return (await call(path, options)).json();
}

/** Server-sent events, one after the other: `{kind, id, data}`. EventSource cannot send a token. */
export async function* stream(path, last, signal) {
  const own = { Accept: "text/event-stream" };
  if (last) own["Last-Event-ID"] = last;
  const response = await call(path, { headers: headers(own), signal });
  yield { kind: "open", id: null, data: null };
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused(0, "the connection to this agent broke");
    }
    if (piece.done) return;
    const events = (rest + piece.value).split("\n\n");
    rest = events.pop();
    for (const text of events) {
      const event = { kind: "message", id: null, data: null };
      for (const line of text.split("\n")) {
        const at = line.indexOf(": ");
        const [field, value] = [line.slice(0, at), line.slice(at + 2)];
        if (field === "event") event.kind = value;
        else if (field === "id") event.id = value;
        else if (field === "data") event.data = JSON.parse(value);
      }
      if (event.id || event.data) yield event;
    }
  }
}

/** A part of a path. */
export const part = encodeURIComponent;

// Questions to the reader, each in a dialog: nothing is changed without one.

import { h, notice, say } from "./dom.js";
import { change, setToken, token } from "./api.js";

function open(title, content, buttons) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-labelledby": "asked" });
    // The strong one alone is what the enter key means in a field.
    const button = ([value, text, kind]) => (kind === "strong"
      ? h("button", { value, class: kind }, text)
      : h("button", { type: "button", class: kind, onclick: () => dialog.close(value) }, text));
    dialog.append(h("form", { method: "dialog" },
      h("h2", { id: "asked" }, title), content, h("p", { class: "buttons" }, buttons.map(button))));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Whether the reader wants it. */
export async function sure(title, text, button) {
  const answer = await open(title, h("p", {}, text), [["", "No, go back", "quiet"], ["yes", button, "strong"]]);
  return answer === "yes";
}

/** Shows a text. */
export function tell(title, text) {
  return open(title, h("pre", { class: "said", tabindex: "0" }, text), [["", "Close", "strong"]]);
}

/** Asks, changes, and says what came of it. `true`: it was done. */
export async function confirmed({ title, text, button, method, path, body, done }) {
  if (!await sure(title, text, button)) return null;
  notice("");
  try {
    const answer = await change(method, path, body);
    say(done);
    return answer;
  } catch (error) {
    notice(error.message);
    return null;
  }
}

let asking = false;
/** Asks for a token; resolves to whether one was given or taken away. */
export async function askToken(why) {
  if (asking) return false;
  asking = true;
  const field = h("input", { type: "password", id: "secret", autocomplete: "off", spellcheck: "false", autofocus: true });
  const content = h("div", {},
    why ? h("p", {}, why) : null,
    h("p", {}, h("label", { for: "secret" }, "Token"), field),
    h("p", { class: "hint" }, "It is kept in this tab until the tab is closed, and sent to this agent only. ",
      "quorate token create makes one."));
  const buttons = [["", "Go back", "quiet"], ["yes", "Use it", "strong"]];
  if (token()) buttons.splice(1, 0, ["forget", "Forget the token", "quiet"]);
  const answer = await open("Who are you?", content, buttons);
  asking = false;
  if (answer === "forget") setToken("");
  else if (answer === "yes" && field.value.trim()) setToken(field.value.trim());
  else return false;
  return true;
}

// Colours of terminals (SGR) as classes. Everything else that a terminal would do is left out.

const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
// Control sequences with and without a letter at the end, titles, and single ones.
const SEQUENCE = /\u001b(?:\[([0-9;:]*)([ -/]*[@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-_]|$)/g;

/** The text without any of it. */
export const plain = (text) => text.replace(SEQUENCE, "");

/** What is switched on: it lasts over the ends of lines. */
export const calm = () => ({ bold: false, dim: false, italic: false, underline: false, fore: "", back: "" });

function apply(style, codes) {
  const numbers = codes === "" ? [0] : codes.split(/[;:]/).map(Number);
  for (let at = 0; at < numbers.length; at += 1) {
    const code = numbers[at];
    if (code === 0) Object.assign(style, calm());
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = true;
    else if (code === 22) style.bold = style.dim = false;
    else if (code === 23) style.italic = false;
    else if (code === 24) style.underline = false;
    else if (code >= 30 && code <= 37) style.fore = COLOURS[code - 30];
    else if (code >= 90 && code <= 97) style.fore = COLOURS[code - 90];
    else if (code === 39) style.fore = "";
    else if (code >= 40 && code <= 47) style.back = COLOURS[code - 40];
    else if (code >= 100 && code <= 107) style.back = COLOURS[code - 100];
    else if (code === 49) style.back = "";
    else if (code === 38 || code === 48) {
      // 256 colours: the first sixteen have names here, the others are not shown.
      const name = numbers[at + 1] === 5 && numbers[at + 2] < 16 ? COLOURS[numbers[at + 2] % 8] : "";
      if (code === 38) style.fore = name;
      else style.back = name;
      at += numbers[at + 1] === 5 ? 2 : 4;
    }
  }
}

function classes(style) {
  const names = ["bold", "dim", "italic", "underline"].filter((name) => style[name]);
  if (style.fore) names.push(`f-${style.fore}`);
  if (style.back) names.push(`b-${style.back}`);
  return names.join(" ");
}

/** Nodes for a line; `style` is what was switched on before it, and is brought up to date. */
export function paint(line, style) {
  const nodes = [];
  const push = (text) => {
    if (!text) return;
    const names = classes(style);
    const node = document.createElement("span");
    node.className = names;
    node.textContent = text;
    nodes.push(names ? node : document.createTextNode(text));
  };
  let from = 0;
  for (const found of line.matchAll(SEQUENCE)) {
    push(line.slice(from, found.index));
    if (found[2] === "m") apply(style, found[1] || "");
    from = found.index + found[0].length;
  }
  push(line.slice(from));
  return nodes;
}

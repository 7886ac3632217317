// Answers as DOM nodes: nothing that a model wrote is ever parsed as HTML.

const el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};

const safeUrl = (text) => {
  try {
    const url = new URL(text);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : "";
  } catch {
    return "";
  }
};

const link = (text, address) => {
  const href = safeUrl(address);
  if (!href) return text;
  return el("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, text);
};

// Every repetition is bounded: an answer cannot make matching slow.
const INLINE = new RegExp(
  [
    "`([^`\\n]{1,2000})`",
    "\\*\\*([^*]{1,2000})\\*\\*",
    "\\*([^*\\s][^*]{0,2000})\\*",
    "\\b_([^_\\s][^_]{0,2000})_\\b",
    "\\[([^\\[\\]]{1,300})\\]\\(([^()\\s]{1,2000})\\)",
    "(https?://[^\\s<>\"'`*\\[\\]()]{1,2000})",
  ].join("|"),
  "g",
);

const inline = (text) => {
  const nodes = [];
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    const [all, code, bold, starred, underlined, label, address, bare] = found;
    nodes.push(text.slice(from, found.index));
    from = found.index + all.length;
    if (code) nodes.push(el("code", {}, code));
    else if (bold) nodes.push(el("strong", {}, ...inline(bold)));
    else if (starred || underlined) nodes.push(el("em", {}, ...inline(starred || underlined)));
    else if (label) nodes.push(link(label, address));
    else {
      const url = bare.replace(/[.,;:!?]{1,9}$/, "");
      nodes.push(link(url, url), bare.slice(url.length));
    }
  }
  nodes.push(text.slice(from));
  return nodes.filter((node) => node !== "");
};

const FENCE = /^\s{0,8}```/;
const ITEM = /^\s{0,8}(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/;
const HEADING = /^#{1,6}\s+(.*)$/;
const isPlain = (line) => line.trim() && !FENCE.test(line) && !ITEM.test(line) && !HEADING.test(line);

const take = (lines, wanted) => {
  const taken = [];
  while (lines.length && wanted(lines[0])) taken.push(lines.shift());
  return taken;
};

const listOf = (lines) => {
  const number = ITEM.exec(lines[0])[1];
  const list = number ? el("ol", { start: number }) : el("ul");
  while (lines.length) {
    const item = ITEM.exec(lines[0]);
    if (!item || !item[1] !== !number) break;
    lines.shift();
    const more = take(lines, (line) => isPlain(line) && /^\s/.test(line));
    list.append(el("li", {}, ...inline([item[2], ...more].join("\n"))));
  }
  return list;
};

const blockOf = (lines) => {
  if (FENCE.test(lines[0])) {
    lines.shift();
    const code = take(lines, (line) => !FENCE.test(line));
    lines.shift();
    return el("pre", { tabindex: "0" }, el("code", {}, code.join("\n")));
  }
  if (ITEM.test(lines[0])) return listOf(lines);
  const heading = HEADING.exec(lines[0]);
  if (heading) {
    lines.shift();
    return el("p", {}, el("strong", {}, ...inline(heading[1])));
  }
  return el("p", {}, ...inline(take(lines, isPlain).join("\n")));
};

const markdown = (text) => {
  const lines = text.replace(/\r/g, "").split("\n");
  const blocks = [];
  while (lines.length) {
    if (lines[0].trim()) blocks.push(blockOf(lines));
    else lines.shift();
  }
  return blocks;
};

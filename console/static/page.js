// On every page: times in the visitor's locale, copy buttons, the menu, links in rows, short keys, the time zone.

import { age, date, moment } from "./figures.js";

document.cookie = `runmeter_zone=${encodeURIComponent(Intl.DateTimeFormat().resolvedOptions().timeZone)};path=/;max-age=31536000;samesite=lax`;

const STYLES = { date, moment };

function fillTimes(root) {
  for (const time of root.querySelectorAll("time[data-ms]")) {
    const ms = Number(time.dataset.ms);
    const style = time.dataset.as;
    const text = style === "ago" ? age(Date.now() - ms) : STYLES[style].format(ms);
    if (time.textContent !== text) time.textContent = text;
    time.title = moment.format(ms);
  }
}

/** Quasar's bar at the top, there while something takes long, has no name of its own. */
function nameBar() {
  document.querySelector(".q-loading-bar")?.setAttribute("aria-label", "Loading");
}

/** Bring the tab that is open into view, once it is there: after this script, which runs before pages are drawn. */
let tabShown = false;
function showTab() {
  const tab = tabShown ? null : document.querySelector('.rm-tabs [aria-current="page"]');
  if (!tab) return;
  tabShown = true;
  tab.scrollIntoView({ block: "nearest", inline: "center" });
}

let planned = false;
new MutationObserver(() => {
  if (planned) return;
  planned = true;
  setTimeout(() => {
    planned = false;
    fillTimes(document);
    nameBar();
    showTab();
  }, 0);
}).observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-ms"] });
setInterval(() => fillTimes(document), 15000);
fillTimes(document);
nameBar();
showTab();

// --- copying ----------------------------------------------------------------------------------------------

async function copy(button) {
  const text = document.getElementById(button.dataset.copies)?.innerText ?? button.dataset.text ?? "";
  try {
    await navigator.clipboard.writeText(text.trim());
  } catch {
    const area = document.createElement("textarea");
    area.value = text.trim();
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const said = button.querySelector("[data-copy-said]");
  const before = said.textContent;
  if (button.dataset.done === "true") return;
  button.dataset.done = "true";
  said.textContent = "Copied";
  setTimeout(() => {
    button.dataset.done = "false";
    said.textContent = before;
  }, 1600);
}

// --- pointing and typing ----------------------------------------------------------------------------------

const shell = () => document.querySelector(".rm-shell");
function menu(open) {
  shell()?.classList.toggle("rm-shell--open", open);
  const button = document.querySelector("[data-menu]");
  button?.setAttribute("aria-expanded", String(open));
  if (open) document.querySelector(".rm-side a")?.focus();
  else if (document.activeElement?.closest(".rm-side")) button?.focus();
}

document.addEventListener("click", (event) => {
  const copies = event.target.closest("[data-copies],[data-text]");
  if (copies) return void copy(copies);
  if (event.target.closest("[data-menu]")) return menu(!shell().classList.contains("rm-shell--open"));
  if (event.target.closest(".rm-shade")) return menu(false);
  const row = event.target.closest("tr[data-href]");
  if (row && !event.target.closest("a,button,input") && !String(getSelection())) location.href = row.dataset.href;
});

const typing = (element) => element?.closest("input,textarea,select,[contenteditable],.q-dialog");
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && shell()?.classList.contains("rm-shell--open")) return menu(false);
  if (event.key !== "/" || event.ctrlKey || event.metaKey || typing(event.target)) return;
  const search = document.querySelector("input[type=search], [data-testid=search] input");
  if (search) {
    event.preventDefault();
    search.focus();
  }
});

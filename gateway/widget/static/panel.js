// What is to be seen. Styles are a constructed sheet, so that a page's policy on inline styles allows them.

const svg = (path) => {
  const space = "http://www.w3.org/2000/svg";
  const icon = document.createElementNS(space, "svg");
  const shape = document.createElementNS(space, "path");
  icon.setAttribute("viewBox", "0 0 24 24");
  icon.setAttribute("aria-hidden", "true");
  shape.setAttribute("d", path);
  icon.append(shape);
  return icon;
};

const THUMB = "M7 11v9H4v-9zM7 11l4-8a2 2 0 0 1 2 2v4h6a2 2 0 0 1 2 2l-2 7a2 2 0 0 1-2 2H7";
const ICONS = {
  up: THUMB,
  down: THUMB,
  chat: "M4 4h16v12H9l-5 4z",
  close: "M6 6l12 12M18 6L6 18",
  fresh: "M12 5v14M5 12h14",
  send: "M4 12h15M13 6l6 6-6 6",
  stop: "M7 7h10v10H7z",
};

const button = (name, label, attributes = {}) =>
  el("button", { type: "button", class: name, "aria-label": label, title: label, ...attributes }, svg(ICONS[name]));

// Black or white, whichever is easier to read on that colour (WCAG relative luminance).
const readableOn = (colour) => {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const share = parseInt(colour.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000" : "#fff";
};

const sourcesOf = (citations) => {
  const items = citations.slice(0, 50).map((one) => {
    const place = [one.section, one.page ? `page ${one.page}` : ""].filter(Boolean).join(", ");
    const title = one.title || one.url || "Source";
    return el("li", { value: String(one.number) }, link(title, one.url ?? ""), place ? `, ${place}` : "");
  });
  return el("div", { class: "sources" }, el("h3", {}, "Sources"), el("ol", {}, ...items));
};

class Panel {
  constructor() {
    this.host = el("div", { "data-runmeter-widget": "" });
    this.root = this.host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    this.root.adoptedStyleSheets = [sheet];
    this.launcher = button("chat", "Open the chat", { "aria-expanded": "false", "aria-haspopup": "dialog" });
    this.logo = el("img", { class: "logo", alt: "", hidden: "" });
    this.logo.addEventListener("error", () => (this.logo.hidden = true));
    this.title = el("h2", { id: "title" }, "Chat");
    this.fresh = button("fresh", "Start a new conversation");
    this.close = button("close", "Close the chat");
    this.log = el("div", { class: "log", role: "log", "aria-live": "polite", "aria-label": "Conversation", tabindex: "0" });
    this.input = el("textarea", { id: "question", rows: "1", maxlength: "8000", placeholder: "Write a message…", enterkeyhint: "send" });
    this.send = button("send", "Send");
    this.stop = button("stop", "Stop the answer", { hidden: "" });
    this.form = el("form", {}, el("label", { for: "question", class: "unseen" }, "Your message"), this.input, this.send, this.stop);
    const header = el("header", {}, this.logo, this.title, this.fresh, this.close);
    this.dialog = el(
      "section",
      { role: "dialog", "aria-modal": "true", "aria-labelledby": "title", hidden: "" },
      header,
      this.log,
      this.form,
    );
    this.root.append(this.launcher, this.dialog);
  }

  brand({ branding = {}, name = "" }) {
    const title = branding.title || name || "Chat";
    this.title.textContent = title;
    this.launcher.setAttribute("aria-label", `Open the chat: ${title}`);
    this.host.classList.toggle("left", branding.position === "left");
    if (/^#[0-9a-f]{6}$/i.test(branding.colour ?? "")) {
      this.host.style.setProperty("--accent", branding.colour);
      this.host.style.setProperty("--on-accent", readableOn(branding.colour));
    }
    const logo = safeUrl(branding.logo_url ?? "");
    if (/^https?:/.test(logo) && this.logo.src !== logo) {
      this.logo.src = logo;
      this.logo.hidden = false;
    }
  }

  show(isOpen) {
    this.dialog.hidden = !isOpen;
    this.launcher.setAttribute("aria-expanded", String(isOpen));
    this.host.classList.toggle("open", isOpen);
  }

  // Nothing is read out before it is whole.
  busy(isBusy) {
    this.log.setAttribute("aria-busy", String(isBusy));
    this.send.hidden = isBusy;
    this.stop.hidden = !isBusy;
    this.fresh.disabled = isBusy;
  }

  bubble(role, text) {
    const content = el("div", { class: "content" });
    const who = role === "user" ? "You" : this.title.textContent;
    const bubble = el("div", { class: `message ${role}` }, el("span", { class: "unseen" }, `${who}: `), content);
    this.log.append(bubble);
    this.fill(bubble, role, text);
    return bubble;
  }

  fill(bubble, role, text) {
    const atEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 80;
    bubble.lastChild.replaceChildren(...(role === "user" ? [text] : markdown(text)));
    if (atEnd || role === "user") this.log.scrollTop = this.log.scrollHeight;
  }

  cite(bubble, citations) {
    if (citations?.length) bubble.lastChild.append(sourcesOf(citations));
    this.log.scrollTop = this.log.scrollHeight;
  }

  // Whether an answer helped. `rate` tells the gateway; where it cannot, the thumb is let go of again.
  thumbs(bubble, rating, rate) {
    const thumbs = [button("up", "This answer helped"), button("down", "This answer did not help")];
    const press = (name) => thumbs.forEach((thumb) => thumb.setAttribute("aria-pressed", thumb.className === name));
    for (const thumb of thumbs)
      thumb.addEventListener("click", async () => {
        press(thumb.className);
        await rate(thumb.className).then(() => (rating = thumb.className), () => press(rating));
      });
    press(rating);
    bubble.lastChild.append(el("div", { class: "thumbs", role: "group", "aria-label": "Did this help?" }, ...thumbs));
    this.log.scrollTop = this.log.scrollHeight;
  }

  notice(text, retry) {
    this.clearNotice();
    const notice = el("div", { class: "notice" }, text);
    if (retry) {
      const again = el("button", { type: "button", class: "again" }, "Try again");
      again.addEventListener("click", retry);
      notice.append(" ", again);
    }
    this.log.append(notice);
    this.log.scrollTop = this.log.scrollHeight;
    return notice;
  }

  clearNotice() {
    for (const notice of this.log.querySelectorAll(".notice")) notice.remove();
  }

  // Keeps Tab within the dialog.
  trap(event) {
    const stops = [...this.dialog.querySelectorAll("a[href], button:not([disabled]), textarea:not([disabled]), [tabindex]")];
    const seen = stops.filter((node) => node.getClientRects().length);
    const [from, to] = event.shiftKey ? [seen[0], seen.at(-1)] : [seen.at(-1), seen[0]];
    if (this.root.activeElement !== from && seen.includes(this.root.activeElement)) return;
    event.preventDefault();
    to.focus();
  }
}

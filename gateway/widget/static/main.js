// The conversation: what is asked, what is answered, and what to do when nothing is.

const SAYINGS = {
  not_here: "This chat is not available on this page.",
  offline: "There is no connection right now. Check yours, then try again.",
  lost: "The connection was lost before the answer was whole.",
  no_credits: "This assistant cannot answer at the moment. Please come back later, or contact us another way.",
  failed: "Something went wrong on our side.",
  stopped: "Stopped.",
};

const sayingOf = (error) => {
  if (error.status === 402) return [SAYINGS.no_credits, true];
  if (error.status === 403 || error.code === "not_here") return [SAYINGS.not_here, false];
  if (error.status === 429) {
    const wait = error.wait ? `in ${error.wait} s` : "in a little while";
    return [`That was a lot at once. You can ask again ${wait}.`, true];
  }
  if (error.status === 422 || error.status === 413) return ["That message cannot be sent. Try a shorter one.", false];
  return [error.status === 0 ? SAYINGS.offline : SAYINGS.failed, true];
};

class Chat {
  constructor(base, key) {
    this.memory = new Memory(key);
    this.gateway = new Gateway(base, key, this.memory);
    this.panel = new Panel();
    this.running = null;
    this.isRefused = false;
    this.timer = 0;
    this.listen();
    document.body.append(this.panel.host);
    this.panel.brand(this.gateway.shown);
    this.recall();
    if (this.memory.state.open) this.open(false);
    else this.prepare();
  }

  listen() {
    const { panel } = this;
    panel.launcher.addEventListener("click", () => this.open(true));
    panel.close.addEventListener("click", () => this.close());
    panel.fresh.addEventListener("click", () => this.startOver());
    panel.stop.addEventListener("click", () => this.running?.abort());
    panel.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    panel.send.addEventListener("click", () => this.submit());
    panel.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.submit();
    });
    panel.dialog.addEventListener("keydown", (event) => {
      // The page's own shortcuts are not meant.
      event.stopPropagation();
      if (event.key === "Escape" && !event.isComposing) this.close();
      if (event.key === "Tab") panel.trap(event);
    });
    addEventListener("online", () => panel.log.querySelector(".notice.offline .again")?.click());
  }

  // Show what was said before a reload.
  recall() {
    this.panel.log.replaceChildren();
    const { greeting } = this.gateway.shown;
    this.greeted = Boolean(greeting);
    if (greeting) this.panel.bubble("assistant", greeting);
    for (const message of this.memory.state.messages)
      this.below(this.panel.bubble(message.role, message.text), message);
  }

  // What an answer rests on, and whether it helped.
  below(bubble, { citations, run, rating = "" }) {
    this.panel.cite(bubble, citations);
    if (!run) return;
    this.panel.thumbs(bubble, rating, async (given) => {
      await this.gateway.rate(run, given);
      this.memory.rate(run, given);
    });
  }

  async open(byHand) {
    this.panel.show(true);
    this.memory.keep({ open: true });
    // After a reload the page keeps its focus.
    if (byHand) this.panel.input.focus();
    this.panel.log.scrollTop = this.panel.log.scrollHeight;
    await this.prepare();
    if (!this.isRefused) this.keepFresh();
  }

  close() {
    clearTimeout(this.timer);
    this.panel.show(false);
    this.memory.keep({ open: false });
    this.panel.launcher.focus();
  }

  // Have a session, and look as it says.
  async prepare() {
    if (this.isRefused) return;
    try {
      const session = await this.gateway.session();
      this.panel.brand(session);
      if (!this.greeted && session.greeting) this.recall();
      if (!this.running) this.panel.clearNotice();
      this.allow(true);
    } catch (error) {
      this.complain(error, () => this.prepare());
    }
  }

  // While it is open, its session does not end.
  keepFresh() {
    clearTimeout(this.timer);
    const wait = Math.max(5_000, (this.memory.state.refreshAt ?? 0) - Date.now() + 100);
    this.timer = setTimeout(async () => {
      await this.gateway.session().catch(() => {});
      this.keepFresh();
    }, Math.min(wait, 2_000_000_000));
  }

  submit() {
    const question = this.panel.input.value.trim();
    if (!question || this.running || this.panel.input.disabled) return;
    this.panel.input.value = "";
    this.panel.bubble("user", question);
    this.memory.add({ role: "user", text: question });
    this.answer(question);
  }

  async answer(question) {
    const { panel } = this;
    panel.clearNotice();
    panel.busy(true);
    this.running = new AbortController();
    const written = { text: "", citations: [], bubble: panel.bubble("assistant", "") };
    written.bubble.classList.add("waiting");
    try {
      await this.write(question, written);
    } catch (error) {
      if (error.name === "AbortError") panel.notice(SAYINGS.stopped);
      else this.complain(error, () => this.answer(question), written.text ? SAYINGS.lost : "");
    } finally {
      this.running = null;
      this.finish(written);
      panel.busy(false);
    }
  }

  // Write the answer as it comes. Throws `Refused` if there is none.
  async write(question, written) {
    let closing = null;
    for await (const { name, data } of this.gateway.ask(question, this.running.signal)) {
      if (name === "message.delta") {
        written.text += data.text;
        written.frame ||= requestAnimationFrame(() => {
          written.frame = 0;
          this.panel.fill(written.bubble, "assistant", written.text);
        });
      } else if (name.startsWith("run.") && name !== "run.started") closing = { name, data };
    }
    if (!closing) throw new Refused(0, "lost");
    if (closing.name === "run.limit_exceeded") throw new Refused(402, "");
    if (closing.name === "run.failed") throw new Refused(502, "");
    written.text = closing.data.output || written.text;
    written.citations = closing.data.citations ?? [];
    written.run = closing.data.run_id;
  }

  finish({ bubble, text, citations, run, frame }) {
    cancelAnimationFrame(frame);
    bubble.classList.remove("waiting");
    if (!text) {
      bubble.remove();
      return;
    }
    this.panel.fill(bubble, "assistant", text);
    this.below(bubble, { citations, run });
    this.memory.add({ role: "assistant", text, citations, run });
  }

  complain(error, retry, saying = "") {
    const [said, helps] = sayingOf(error);
    const notice = this.panel.notice(said === SAYINGS.offline && saying ? saying : said, helps && retry);
    notice.classList.toggle("offline", error.code === "offline");
    this.isRefused = said === SAYINGS.not_here;
    this.allow(!this.isRefused);
    const again = notice.querySelector(".again");
    if (!again || !error.wait) return;
    again.disabled = true;
    setTimeout(() => (again.disabled = false), Math.min(error.wait, 3_600) * 1000);
  }

  allow(isAllowed) {
    this.panel.input.disabled = this.panel.send.disabled = !isAllowed;
  }

  startOver() {
    this.memory.startOver();
    this.recall();
    this.panel.input.focus();
  }
}

const begin = (script) => {
  const key = script?.dataset.key ?? "";
  if (!key) {
    console.warn("runmeter: name the widget's key: <script src=\"…/widget.js\" data-key=\"…\" async>");
    return;
  }
  if (document.querySelector("[data-runmeter-widget]")) return;
  const { origin } = new URL(script.src);
  if (document.body) new Chat(origin, key);
  else addEventListener("DOMContentLoaded", () => new Chat(origin, key), { once: true });
};

begin(document.currentScript ?? document.querySelector("script[data-key][src*='/widget.js']"));

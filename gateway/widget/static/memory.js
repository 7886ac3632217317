// What outlives a reload. A page may forbid storage: then nothing does, and all else works.

const MAX_MESSAGES = 40;
const MAX_CHARS = 8000;

const stored = (kind, name) => ({
  read() {
    try {
      return JSON.parse(window[kind].getItem(name)) ?? {};
    } catch {
      return {};
    }
  },
  write(value) {
    try {
      window[kind].setItem(name, JSON.stringify(value));
    } catch {}
  },
});

const randomId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

// Of the tab: the session, the conversation, whether it is open. Of the browser: which visitor it is.
class Memory {
  constructor(key) {
    this.tab = stored("sessionStorage", `runmeter:${key}`);
    this.browser = stored("localStorage", `runmeter:${key}`);
    this.state = { conversation: randomId(), messages: [], open: false, ...this.tab.read() };
    if (!Array.isArray(this.state.messages)) this.state.messages = [];
  }

  get visitor() {
    return String(this.browser.read().visitor ?? "");
  }

  set visitor(token) {
    this.browser.write({ visitor: token });
  }

  keep(changed) {
    Object.assign(this.state, changed);
    this.tab.write(this.state);
  }

  add(message) {
    const cut = { ...message, text: message.text.slice(0, MAX_CHARS) };
    this.keep({ messages: [...this.state.messages, cut].slice(-MAX_MESSAGES) });
  }

  rate(run, rating) {
    this.keep({ messages: this.state.messages.map((one) => (one.run === run ? { ...one, rating } : one)) });
  }

  startOver() {
    this.keep({ conversation: randomId(), messages: [] });
  }
}

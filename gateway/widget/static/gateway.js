// The gateway's HTTP interface: sessions, and runs as server-sent events.

// `status` 0: no answer that may be read; `code` then says whether the network or the page is to blame.
class Refused extends Error {
  constructor(status, code, wait = 0) {
    super(code);
    Object.assign(this, { status, code, wait });
  }
}

// Whether another session might help. Why a token is not valid at all, the page may not read.
const isOver = (error) => error.status === 401 || error.code === "not_here";

const MAX_EVENT_CHARS = 4_000_000;

async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || text.length > MAX_EVENT_CHARS) return;
      text += value;
      const events = text.split("\n\n");
      text = events.pop();
      for (const event of events) {
        const [, name = ""] = /^event: (.*)$/m.exec(event) ?? [];
        const [, data] = /^data: (.*)$/m.exec(event) ?? [];
        if (data) yield { name, data: JSON.parse(data) };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

class Gateway {
  constructor(base, key, memory) {
    Object.assign(this, { base, key, memory, pending: null });
  }

  // What the session says of the instance, without asking: empty before the first one.
  get shown() {
    return this.memory.state.session ?? {};
  }

  // A session that is good for a while yet; at most one is asked for at a time.
  async session() {
    const { session, refreshAt = 0 } = this.memory.state;
    if (session && Date.now() < refreshAt) return session;
    this.pending ??= this.renewed(session).finally(() => (this.pending = null));
    return this.pending;
  }

  async renewed(session) {
    const { endsAt = 0 } = this.memory.state;
    if (session && Date.now() < endsAt) {
      try {
        return await this.take("/v1/widget/session:refresh", "", session.session_token);
      } catch (error) {
        if (!isOver(error)) throw error;
      }
    }
    // As text it needs no preflight.
    return this.take("/v1/widget/session:init", { api_key: this.key, visitor_token: this.memory.visitor });
  }

  async take(path, body, token) {
    const session = await (await this.post(path, body, { token })).json();
    // By this clock, however wrong it is.
    const refreshAt = Date.now() + session.refresh_in_s * 1000;
    this.memory.keep({ session, refreshAt, endsAt: Date.now() + session.refresh_in_s * 1500 });
    this.memory.visitor = session.visitor_token;
    return session;
  }

  async *ask(question, signal) {
    const asked = { input: question, stream: true, conversation_id: this.memory.state.conversation };
    const run = async () =>
      this.post("/v1/runs", asked, { token: (await this.session()).session_token, signal });
    let response;
    try {
      response = await run();
    } catch (error) {
      if (!isOver(error)) throw error;
      this.memory.keep({ session: null });
      response = await run();
    }
    yield* eventsOf(response.body);
  }

  // Say whether an answer helped: "up" or "down".
  async rate(run, rating) {
    const { session_token: token } = await this.session();
    await this.post(`/v1/runs/${run}/feedback`, { rating }, { token });
  }

  async post(path, body, { token, signal } = {}) {
    const headers = token ? { authorization: `Bearer ${token}`, "content-type": "application/json" } : {};
    let response;
    try {
      response = await fetch(this.base + path, {
        method: "POST",
        headers,
        signal,
        body: body && JSON.stringify(body),
        credentials: "omit",
        cache: "no-store",
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused(0, (await this.isReachable()) ? "not_here" : "offline");
    }
    if (response.ok) return response;
    const { code = "" } = await response.json().catch(() => ({}));
    throw new Refused(response.status, code, Number(response.headers.get("retry-after")) || 0);
  }

  // A refusal that this page may not read looks like a network that is down. This answer any page may have.
  async isReachable() {
    if (!navigator.onLine) return false;
    try {
      await fetch(`${this.base}/widget.js`, { method: "HEAD", mode: "no-cors", credentials: "omit" });
      return true;
    } catch {
      return false;
    }
  }
}

// What the page asks its server. The token, where there must be one, stays in the tab's sessionStorage.

const TOKEN = "tandem-token";

// Refused is an answer that is no success: the server's words, and what stands in the way.
export class Refused extends Error {
  constructor(status, message, blockers) {
    super(message);
    this.status = status;
    this.blockers = blockers ?? [];
  }
}

export const setToken = token => sessionStorage.setItem(TOKEN, token);
export const hasToken = () => sessionStorage.getItem(TOKEN) !== null;

export async function request(method, path, body, signal) {
  const headers = {};
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.Authorization = "Bearer " + token;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, {method, headers, signal, cache: "no-store", body: body === undefined ? undefined : JSON.stringify(body)});
  if (response.ok) return response;
  let answer = {};
  try {
    answer = await response.json();
  } catch { /* not tandem's own words */ }
  throw new Refused(response.status, answer.error ?? `the server answered ${response.status}`, answer.blockers);
}

export const get = async path => (await request("GET", path)).json();
export const post = async (path, body) => (await request("POST", path, body)).json();

// QUIET_MS is how long nothing may come: a message is sent each second.
const QUIET_MS = 6000;
const RETRY_MIN_MS = 500, RETRY_MAX_MS = 4000;

// visible waits until the page is looked at. A page in the background holds no connection: a browser has six of them to one
// server, so with some tabs open none would be left to take a step with.
const visible = () => new Promise(resume => {
  const look = () => {
    if (document.hidden) return;
    document.removeEventListener("visibilitychange", look);
    resume();
  };
  document.addEventListener("visibilitychange", look);
  look();
});

// watch reads the stream of messages, for ever: it connects again when it breaks. on has open(), message(m), lost(why) and
// denied(), after which it ends. The stream is read by hand, for an EventSource cannot send a token.
export async function watch(on) {
  let pause = RETRY_MIN_MS;
  for (;;) {
    await visible();
    const quiet = new AbortController();
    const away = () => document.hidden && quiet.abort();
    document.addEventListener("visibilitychange", away);
    let timer = setTimeout(() => quiet.abort(), QUIET_MS);
    try {
      await on.open();
      const response = await request("GET", "api/v1/live", undefined, quiet.signal);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const {value, done} = await reader.read();
        if (done) throw new Error("the stream has ended");
        clearTimeout(timer);
        timer = setTimeout(() => quiet.abort(), QUIET_MS);
        const parts = (rest + value).split("\n\n");
        rest = parts.pop();
        for (const part of parts) {
          if (part.startsWith("data: ")) on.message(JSON.parse(part.slice(6)));
          pause = RETRY_MIN_MS;
        }
      }
    } catch (e) {
      if (e instanceof Refused && (e.status === 401 || e.status === 403)) {
        on.denied(e);
        return;
      }
      if (document.hidden) continue; // it is not lost, but left
      on.lost(e);
    } finally {
      document.removeEventListener("visibilitychange", away);
      clearTimeout(timer);
      quiet.abort();
    }
    await new Promise(resume => setTimeout(resume, pause));
    pause = Math.min(2 * pause, RETRY_MAX_MS);
  }
}

// The panels below the charts: each is a card that is made once, and a function that fills it from the status.

import {$, el, fill, facts, table} from "./dom.js";
import {NONE, count, short, perSecond, bytes, ms, signed, seconds, percent, moment, clock, plural} from "./format.js";
import {get, request, hasToken, post} from "./api.js";

const PANELS = ["backfill", "verify", "clients", "strangers", "precheck", "duplicates", "servers", "report", "events", "more"];
const TITLES = {backfill: "Backfill", verify: "Verify", clients: "Clients", strangers: "Past Tandem", precheck: "Precheck",
  duplicates: "Conflicts", servers: "Replication", report: "Report", events: "Events", more: "Also in the status"};

export function buildPanels() {
  $("panels").replaceChildren(...PANELS.map(name => el("section", {class: "card panel " + name, id: "panel-" + name, "aria-labelledby": "title-" + name},
    el("h3", {id: "title-" + name}, TITLES[name]), el("div", {class: "body", id: "body-" + name}))));
  $("panel-more").hidden = true;
}

const body = name => $("body-" + name);
const empty = (...words) => el("p", {class: "empty"}, ...words);
const tone = bad => bad ? "bad" : "";
const meter = (label, value) => {
  const bar = el("div", {class: "meter", role: "progressbar", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100",
    "aria-valuenow": value === null ? null : String(Math.round(value))}, el("i"));
  bar.firstChild.style.width = (value ?? 0) + "%";
  return bar;
};
const state = (words, kind) => el("p", {class: "state " + kind}, words);

export function showPanels(s, clients) {
  backfill(s);
  verify(s);
  strangers(s);
  duplicates(s);
  servers(s);
  sessions(clients);
  more(s);
}

let lastSweep = null; // of the report

function backfill(s) {
  const b = s.backfill;
  fill(body("backfill"), JSON.stringify([b, s.copies, s.throttle, lastSweep]), () => {
    if (b.state === "idle") {
      return lastSweep === null ? empty("Nothing has been copied yet.") : [
        empty("No sweep is owed or running. The last one:"),
        facts([["began", moment(lastSweep.at)], ["why", lastSweep.why], ["keys looked at", count(lastSweep.keys)], ["keys copied", count(lastSweep.copied)],
          ["it took", ms(lastSweep.took_ms)], ["copies since Tandem started", count(s.copies.done)]]),
      ];
    }
    const done = b.percent ?? (b.state === "done" ? 100 : null);
    return [
      el("p", {class: "big"}, percent(done), el("span", {class: "of"}, b.state === "running" ? (b.eta_s === null ? "time left unknown yet" : `${seconds(b.eta_s)} left`) : b.state)),
      meter("Backfill", done),
      facts([["keys looked at", `${count(b.keys_scanned)} of ${b.keys_total === null ? "?" : short(b.keys_total)}`], ["keys copied", count(b.keys_copied)],
        ["copied", bytes(b.bytes_copied)], b.state === "running" ? ["rate", perSecond(b.keys_per_s) + " keys"] : null,
        ["copies that lost a race, tried again", count(s.copies.races)], ["copies refused", count(s.copies.failed), tone(s.copies.failed > 0)], ...throttle(s.throttle)]),
    ];
  });
}

// throttle says how fast may be copied, where anything bounds it.
function throttle(t) {
  if (!t) return [];
  const bounds = [t.keys_per_s === null ? null : perSecond(t.keys_per_s) + " keys", t.bytes_per_s === null ? null : bytes(t.bytes_per_s) + "/s"].filter(Boolean);
  const window = {open: "open", closed: "closed", ignored: "ignored"}[t.window];
  const governed = t.governor && t.governor !== "off" && t.latency_ms !== null && t.latency_ms !== undefined;
  return [governed ? ["the source takes, and usually", `${ms(t.latency_ms)}, ${ms(t.usual_latency_ms)}`] : null, ["at most", bounds.length ? bounds.join(", ") : "no bound"],
    window ? ["window of the day", window + (t.window_until === null ? "" : ` until ${moment(t.window_until)}`), t.window === "closed" ? "bad" : ""] : null];
}

let listedVerify = "";
function verify(s) {
  const v = s.verify;
  fill(body("verify"), JSON.stringify([v, s.shadow]), () => {
    const shadow = s.shadow.compared + s.shadow.skipped > 0
      ? facts([["reads compared beside it", count(s.shadow.compared)], ["... answered otherwise", count(s.shadow.different), tone(s.shadow.different > 0)]]) : null;
    if (v.state === "idle") return [empty("Nothing has been compared yet."), shadow];
    const [words, kind] = v.state === "done" ? (v.different ? [`${plural(v.different, "key differs", "keys differ")}`, "bad"] : ["No difference", "good"])
      : v.state === "failed" ? ["It could not be ended", "bad"] : [v.state === "paused" ? "Paused" : "Comparing", "calm"];
    return [
      state(words, kind), meter("Verify", v.percent),
      facts([["mode", v.mode], ["keys compared", count(v.compared)], ["different", count(v.different), tone(v.different > 0)],
        v.at_most_different === null ? null : ["at most different, with 95 % confidence", (v.at_most_different * 100).toPrecision(2) + " %"],
        v.kept ? ["kept keys left out", count(v.kept)] : null, ["ended", moment(v.finished_at)], v.next_at === null ? null : ["next", moment(v.next_at)]]),
      v.state === "running" || v.state === "paused" ? el("div", {class: "actions"},
        leadButton(v.id, v.state === "paused" ? "resume" : "pause"), leadButton(v.id, "cancel")) : null,
      el("div", {id: "differences"}), shadow,
    ];
  });
  const key = v.id + "/" + v.different;
  if (v.different > 0 && listedVerify !== key) {
    listedVerify = key;
    listDifferences(v.id).catch(() => { listedVerify = ""; });
  } else if (v.different > 0 && differences && $("differences") && !$("differences").firstChild) {
    $("differences").append(differences);
  }
}

const leadButton = (id, step) => el("button", {type: "button", onclick: e => {
  e.target.disabled = true;
  post(`api/v1/verify/${encodeURIComponent(id)}/${step}`).catch(() => { e.target.disabled = false; });
}}, step === "cancel" ? "Cancel" : step === "pause" ? "Pause" : "Resume");

// listDifferences shows the first of them; all are in a file, and in `tandem verify`.
let differences = null;
const SHOWN = 50;
async function listDifferences(id) {
  const text = await (await request("GET", `api/v1/verify/${encodeURIComponent(id)}`)).text();
  const lines = text.trim().split("\n").map(l => JSON.parse(l));
  const list = lines.filter(l => l.kind !== undefined), summary = lines.at(-1).summary;
  differences = el("div", {},
    table("Keys that differ", [["key", d => d.key, "code"], ["db", d => d.db, "number"], ["what", d => d.kind], ["detail", d => d.detail]], list.slice(0, SHOWN)),
    list.length > SHOWN || summary?.file ? el("p", {class: "remark"}, list.length > SHOWN ? `The first ${SHOWN} of ${count(summary?.different ?? list.length)}. ` : "",
      summary?.file ? `All are in ${summary.file}.` : "") : null);
  $("differences")?.replaceChildren(differences);
}

function sessions(c) {
  fill(body("clients"), JSON.stringify(c), () => {
    if (c.connections === 0) return empty("Nobody is connected to Tandem.");
    return [
      el("p", {class: "big"}, count(c.connections), el("span", {class: "of"}, plural(c.connections, "connection").replace(/^\S+ /, "") + " through Tandem")),
      table("Who is connected", [...(c.groups.some(g => g.listener === "listen_target") ? [["at", g => g.listener]] : []), ["from", g => g.host, "code"], ["name", g => g.name || g.library || NONE], ["user", g => g.user],
        ["connections", g => count(g.connections), "number"], ["active", g => count(g.active), "number"], ["last", g => g.command.toLowerCase() || NONE, "code"],
        ["idle", g => seconds(g.idle_s), "number"]], c.groups),
      c.left_out ? el("p", {class: "remark"}, `${plural(c.left_out, "connection")} in smaller groups left out.`) : null,
    ];
  });
}

function strangers(s) {
  const t = s.tracking;
  fill(body("strangers"), JSON.stringify([t, s.primary]), () => {
    const all = t.writers + t.readers;
    const written = [...new Set(t.connections.filter(c => c.writes).map(c => c.instance))];
    const where = s.primary === "target" && written.join() === "source" ? "the old address" : `the ${written.join(" and the ") || "servers"}`;
    return [
      state(t.writers ? `${plural(t.writers, "connection writes", "connections write")} to ${where} past Tandem`
        : all ? `${plural(all, "connection reads", "connections read")} past Tandem` : "Nobody writes past Tandem", t.writers ? "bad" : all ? "warn" : "good"),
      t.connections.length ? table("Connections that go past Tandem", [["server", c => c.instance], ["from", c => c.addr, "code"], ["name", c => c.name || NONE],
        ["user", c => c.user || NONE], ["last", c => c.command, "code"], ["", c => c.writes ? "writes" : "reads"], ["idle", c => seconds(c.idle_s), "number"]], t.connections) : null,
      facts([["watched", t.state === "running" ? `since ${moment(t.since)}` : t.state === "failed" ? "the server does not report changes" : "not at the moment"],
        ["writes that were reported", count(t.foreign_writes), tone(t.foreign_writes > 0)], t.foreign_flushes ? ["databases emptied by others", count(t.foreign_flushes), "bad"] : null]),
    ];
  });
}

function duplicates(s) {
  const d = s.duplicates;
  fill(body("duplicates"), JSON.stringify(d), () => {
    if (d.found === 0 && d.target_only === 0) return empty("The target held no keys of its own before the migration.");
    return [
      el("p", {class: "big"}, count(d.found), el("span", {class: "of"}, d.found === 1 ? "key was on the target before" : "keys were on the target before")),
      facts([["gave way to the source's", count(d.overwritten)], ["kept as the target had them", count(d.skipped)], ["kept still: no client has written to them", count(d.kept)],
        ["removed", count(d.removed)], ["that only the target had", count(d.target_only)], ["decided by which was used last", count(d.by_age)]]),
      d.list ? el("p", {class: "remark"}, "All are listed in ", el("code", {}, d.list), ".") : null,
    ];
  });
}

function servers(s) {
  const e = s.effects;
  fill(body("servers"), JSON.stringify([e, s.source, s.target, s.lag_bytes, s.unsettled_writes]), () => [
    facts([["effects sent to the secondary", count(e.forwarded)], ["answered otherwise than expected", count(e.mismatched), tone(e.mismatched > 0)],
      ["not sent: it was away or too slow", count(e.dropped)], ["writes not settled yet", count(s.unsettled_writes)], ["bytes that wait", bytes(s.lag_bytes)]]),
    el("div", {class: "both"}, ["source", "target"].map(side => el("div", {}, el("h4", {}, side), facts([
      ["address", s[side].address || NONE], ["connected", s[side].connected ? "yes" : "no", tone(!s[side].connected)], ["version", s[side].version || NONE],
      ["clock", signed(s[side].clock_offset_ms)]])))),
  ]);
}

// more shows what a newer Tandem may have put into the status, for this page to pass on as it is.
const KNOWN = ["phase", "primary", "ready_to_cutover", "blockers", "warnings", "uptime_s", "sessions", "listen", "backfill", "throttle", "two_way", "dirty_keys", "unsettled_writes",
  "lag_ms", "lag_bytes", "effects", "copies", "duplicates", "verify", "shadow", "cutover", "tracking", "source", "target"];
function more(s) {
  const unknown = Object.keys(s).filter(k => !KNOWN.includes(k));
  $("panel-more").hidden = unknown.length === 0;
  fill(body("more"), JSON.stringify(unknown.map(k => s[k])), () => unknown.map(k => {
    const v = s[k];
    const plain = x => x === null ? NONE : typeof x === "object" ? JSON.stringify(x) : typeof x === "number" ? count(x) : String(x);
    const pairs = v !== null && typeof v === "object" && !Array.isArray(v) ? Object.entries(v) : [["", v]];
    return el("div", {}, el("h4", {}, k.replaceAll("_", " ")), facts(pairs.map(([name, x]) => [name.replaceAll("_", " "), plain(x)])));
  }));
}

export async function showPrecheck() {
  const p = await get("api/v1/precheck");
  fill(body("precheck"), JSON.stringify(p), () => {
    if (p.at === null) return empty("This process has made none. Before a start it is made by itself.");
    const order = {failed: 0, warning: 1, success: 2};
    const items = [...p.items].sort((a, b) => order[a.status] - order[b.status]);
    const item = i => el("li", {class: i.status}, el("details", {open: i.status === "failed"},
      el("summary", {}, el("span", {class: "sign", role: "img", "aria-label": i.status}), i.name.replaceAll("_", " ")),
      el("p", {}, i.found), el("p", {class: "remedy"}, i.why), i.remedy ? el("p", {class: "remedy"}, el("span", {class: "do"}, "Do: "), i.remedy) : null));
    const n = kind => p.items.filter(i => i.status === kind).length;
    const [words, kind] = {success: ["Nothing in the way", "good"], warning: ["It can be started, with warnings", "warn"], failed: ["It cannot be started", "bad"]}[p.result];
    return [
      state(words, kind),
      el("p", {class: "remark"}, `${plural(n("warning"), "warning")}, ${count(n("failed"))} failed, at ${moment(p.at)}.`),
      el("ul", {class: "checks"}, items.filter(x => x.status !== "success").map(item)),
      el("details", {class: "all"}, el("summary", {}, `${count(n("success"))} that are as they should be`),
        el("ul", {class: "checks", tabindex: "0", "aria-label": "Items that are as they should be"}, items.filter(x => x.status === "success").map(item))),
    ];
  });
}

// showEvents shows the last ones, newest first, and returns when phases were entered.
const EVENTS = 200;
export async function showEvents(last) {
  const {events} = await get(`api/v1/events?after=${Math.max(0, last - 1000)}`);
  fill(body("events"), String(events.at(-1)?.seq ?? 0), () => events.length === 0 ? empty("Nothing has happened yet.")
    : el("ol", {class: "events-list", tabindex: "0", "aria-label": "Events, newest first"}, events.slice(-EVENTS).reverse().map(e => el("li", {class: mood(e)},
      el("time", {datetime: new Date(e.at).toISOString(), title: moment(e.at)}, clock(e.at)),
      el("span", {class: "kind"}, e.kind), el("p", {}, el("b", {}, title(e)), " ", e.message)))));
  return events.filter(e => e.kind === "phase").map(e => [e.at, e.name]);
}

const title = e => e.kind === "phase" ? e.name
  : [e.kind === "sweep" ? (e.name === "all" ? "all keys:" : "keys in doubt:") : e.name.replaceAll("_", " "), e.state].filter(Boolean).join(" ");
function mood(e) {
  if (e.kind === "phase") return "phase";
  if (["failed", "refused", "undone"].includes(e.state) || e.kind === "difference" || e.kind === "fault" && e.state !== "ends") return "bad";
  return e.state === "done" || e.state === "ends" && e.kind !== "process" ? "good" : "";
}

export async function showReport() {
  const r = await get("api/v1/report");
  lastSweep = r.sweeps.at(-1) ?? null;
  fill(body("report"), JSON.stringify({...r, made_at: 0}), () => {
    const kind = {equal: "good", different: "bad", unverified: "warn", running: "calm"}[r.verdict.result] ?? "calm";
    return [
      state(r.verdict.text, kind),
      facts([["began", moment(r.began_at)], ["finished", moment(r.finished_at)], ["commands", count(r.total.commands)], ["keys copied", count(r.total.keys_copied)],
        ["longest pause of clients", ms(r.longest_pause_ms)], ["faults survived", count(r.faults.length)], ["crashes survived", count(r.processes.crashes)]]),
      el("div", {class: "actions"},
        el("button", {type: "button", onclick: () => save("report", "tandem-report.html")}, "Save as a page"),
        el("button", {type: "button", onclick: () => save("api/v1/report", "tandem-report.json")}, "Save as JSON"),
        hasToken() ? null : el("a", {class: "button", href: "report", target: "_blank", rel: "noopener"}, "Open")),
    ];
  });
}

// save asks with the token, which a link could not send, and gives the browser a file.
async function save(path, name) {
  const blob = await (await request("GET", path)).blob();
  const link = el("a", {href: URL.createObjectURL(blob), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

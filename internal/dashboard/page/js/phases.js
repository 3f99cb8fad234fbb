// Where the migration is, and what comes next: the line of phases, the headline, and the picture of who talks to whom.

import {$, el, svg, fill, text} from "./dom.js";
import {NONE, count, perSecond, ms, seconds, percent, plural, moment} from "./format.js";

const ONE_WAY = ["passthrough", "backfill", "synced", "reversed", "finished"];
// With clients on both servers there is nothing to cut over: it stays so.
const TWO_WAY = ["passthrough", "backfill", "synced", "two_way"];
const CAPTIONS = {
  passthrough: "the source serves, nothing is copied",
  backfill: "what was there is copied",
  synced: "both hold the same",
  reversed: "the target serves, the source is kept",
  finished: "the target alone",
  two_way: "clients write at both",
};

export function showPhases(s) {
  const phases = s.phase === "two_way" ? TWO_WAY : ONE_WAY;
  const at = phases.indexOf(s.phase);
  const progress = s.phase === "backfill" ? (s.backfill.percent ?? 0) : 0;
  fill($("line"), s.phase, () => phases.map((phase, i) => el("li", {
    class: i < at ? "past" : i === at ? "present" : "", "aria-current": i === at ? "step" : null,
  }, el("span", {class: "stop", "aria-hidden": "true"}), el("span", {class: "name"}, phase.replace("_", "-"),
    el("span", {class: "unseen"}, i < at ? ", passed" : i === at ? ", now" : "")),
  el("span", {class: "caption"}, CAPTIONS[phase]))));
  $("line").style.setProperty("--progress", progress + "%");

  const {headline, detail, next} = words(s);
  text($("headline"), headline);
  text($("detail"), detail);
  text($("next"), next);
  document.title = (s.phase === "backfill" && s.backfill.percent !== null ? percent(s.backfill.percent) + " " : "") + s.phase + " · Tandem";
  fill($("pair"), s.source.address + s.target.address, () => [
    el("span", {class: "side source"}, s.source.address || "source"), el("span", {class: "to", "aria-label": "to"}, "→"),
    el("span", {class: "side target"}, s.target.address || "target")]);
}

// words say it in sentences.
function words(s) {
  const b = s.backfill, reasons = s.blockers.filter(x => x.code !== "not_started");
  const blocked = reasons.length > 0 ? plural(reasons.length, "thing stands", "things stand") + " in the way, listed below." : "";
  switch (s.phase) {
    case "passthrough":
      return {
        headline: reasons.length ? "The migration has not started: something is in the way" : "The migration has not started",
        detail: "Clients are served by the source, through Tandem. Nothing reaches the target yet.",
        next: blocked || "Next: the precheck looks at both servers, then the backfill copies what is there.",
      };
    case "backfill": {
      const left = b.eta_s === null ? "" : `, about ${seconds(b.eta_s)} left`;
      const done = b.percent === null ? "Counting the keys" : `${percent(b.percent)} done${left}`;
      return {
        headline: b.state === "paused" ? "The backfill is paused" : "Copying to the target",
        detail: b.state === "paused" ? `${done}. Clients' writes still reach both servers.`
          : `${done}. Clients' writes reach both servers already, and win over copies.`,
        next: "Next: synced. Then a verify shows that both are equal, and the cutover can come.",
      };
    }
    case "synced": {
      const verified = s.verify.state === "done" && s.verify.different === 0;
      const planned = s.cutover.planned_at !== null;
      return {
        headline: reasons.length ? "Both servers are kept equal, but it is not time to cut over" : planned ? "A cutover is planned" : "Ready to cut over",
        detail: "Every write reaches both servers. The source answers clients." +
          (planned ? ` The cutover is tried from ${moment(s.cutover.planned_at)} on, until ${moment(s.cutover.planned_until)}.` : "") +
          (s.cutover.planned_problem ? ` So far: ${s.cutover.planned_problem}.` : ""),
        next: blocked || (verified ? "Next: cut over. The source is still fed then, so a rollback loses nothing."
          : s.verify.state === "running" ? "A verify compares both servers, key by key, on live data."
            : "Next: verify, to see that both are equal; then cut over."),
      };
    }
    case "reversed": {
      const trial = s.cutover.trial_until !== null;
      return {
        headline: trial ? "The target answers clients, on trial" : "The target answers clients",
        detail: "The source is kept equal: a rollback loses nothing." +
          (s.cutover.last_pause_ms === null ? "" : ` Clients were held for ${ms(s.cutover.last_pause_ms)} at ${moment(s.cutover.at)}.`) +
          (trial ? ` Until ${moment(s.cutover.trial_until)} Tandem rolls back by itself if clients fare badly.` : ""),
        next: blocked || "Next: when you are content, finish. Until then you can roll back at any time.",
      };
    }
    case "finished":
      return {headline: "Finished: the target is served alone", detail: "The source gets no more writes.",
        next: "Next: point the applications at the target itself, then end Tandem. Keep the report."};
  }
  if (s.phase === "two_way") {
    return {headline: reasons.length ? "Clients write at both servers, and something is in the way" : "Clients write at both servers",
      detail: `Each server is kept equal to the other; ${plural(s.two_way.sessions, "client")} at the target's address.` +
        (s.two_way.conflicts ? ` ${plural(s.two_way.conflicts, "key was", "keys were")} decided in favour of one of them.` : ""),
      next: blocked || "It stays so until you end it."};
  }
  return {headline: s.phase, detail: "", next: ""};
}

// showFlow draws clients, Tandem and both servers, with what goes between them now.
export function showFlow(s, sample) {
  const linked = s.phase !== "passthrough" && s.phase !== "finished";
  const box = $("flow");
  const key = [s.phase, s.primary, s.source.connected, s.target.connected, s.source.version, s.target.version, s.listen].join();
  fill(box, key, () => {
    const server = side => {
      const i = s[side], primary = s.primary === side;
      const role = primary || s.phase === "two_way" ? "answers clients" : linked ? "kept equal" : s.phase === "finished" ? "left alone" : "waits";
      return el("div", {class: `node server ${side} ${primary ? "primary" : linked ? "secondary" : "idle"} ${i.connected || !primary && !linked ? "" : "down"}`},
        el("span", {class: "what"}, side, el("span", {class: "role"}, role)),
        el("span", {class: "where"}, i.address || NONE),
        el("span", {class: "more"}, i.connected || !primary && !linked ? `version ${i.version || "unknown"}` : "not connected"),
        el("span", {class: "figure", id: "flow-" + side}));
    };
    return [
      el("div", {class: "node clients"}, el("span", {class: "what"}, "clients"), el("span", {class: "figure", id: "flow-sessions"}),
        el("span", {class: "more", id: "flow-rate"})),
      wire("in"),
      el("div", {class: "node tandem"}, el("span", {class: "what"}, "tandem"), el("span", {class: "where"}, s.listen || ""),
        el("span", {class: "more"}, "clients connect here")),
      fork(s.phase === "two_way" ? "both" : s.primary, linked),
      el("div", {class: "servers"}, server("source"), server("target")),
    ];
  });
  text($("flow-sessions"), plural(s.sessions, "connection"));
  const rate = sample ? sample.reads_per_s + sample.writes_per_s + sample.scripts_per_s + sample.transactions_per_s + sample.others_per_s : null;
  text($("flow-rate"), rate === null ? "" : `${perSecond(rate)} commands`);
  for (const side of ["source", "target"]) {
    const p99 = sample?.[side + "_p99_ms"];
    let figure = p99 === null || p99 === undefined ? "" : `p99 ${ms(p99)}`;
    if (s.primary !== side && linked && s.phase !== "two_way" && s.dirty_keys > 0) figure = `${count(s.dirty_keys)} keys behind`;
    text($("flow-" + side), figure);
  }
}

function wire(name) {
  return el("div", {class: "wire " + name, "aria-hidden": "true"}, svg("svg", {viewBox: "0 0 40 10", preserveAspectRatio: "none"},
    svg("path", {class: "strong", d: "M0 5H40"})));
}

// fork leads to both servers: with a full line to the one that answers, and a dashed one to the one that is kept equal.
function fork(primary, linked) {
  const other = linked ? "weak" : "none";
  return el("div", {class: "wire fork", "aria-hidden": "true"}, svg("svg", {viewBox: "0 0 40 100", preserveAspectRatio: "none"},
    svg("path", {class: primary === "source" || primary === "both" ? "strong" : other, d: "M0 50C22 50 18 25 40 25"}),
    svg("path", {class: primary === "target" || primary === "both" ? "strong" : other, d: "M0 50C22 50 18 75 40 75"})));
}

// showBlockers lists what stands in the way, and what is not guaranteed.
export function showBlockers(s) {
  fill($("blockers"), JSON.stringify([s.blockers, s.warnings]), () => {
    const list = (name, tone, all) => all.length === 0 ? null : el("div", {class: "notes"}, el("h2", {}, name),
      el("ul", {class: "notes-list " + tone}, all.map(b => note(b))));
    const wait = s.blockers.filter(b => ["not_started", "sweep_owed", "starting"].includes(b.code));
    return [list("In the way", "bad", s.blockers.filter(b => !wait.includes(b))),
      list("Not yet", "calm", s.phase === "passthrough" || s.phase === "backfill" ? [] : wait), list("Warnings", "warn", s.warnings)];
  });
}

export function note(b, ...more) {
  return el("li", {}, el("code", {}, b.code), el("p", {}, b.message), b.remedy ? el("p", {class: "remedy"}, el("span", {class: "do"}, "Do: "), b.remedy) : null, ...more);
}

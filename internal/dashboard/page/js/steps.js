// The steps of a migration: a button for each that can be taken now, and a dialog that says what it will do before it does.

import {$, el, fill, text} from "./dom.js";
import {ms, plural, moment, seconds, perSecond, bytes} from "./format.js";
import {post} from "./api.js";
import {note} from "./phases.js";

let now = null; // the last status

const canForce = b => b.remedy.includes("--force " + b.code);
// forcing says what it is to go on in spite of a blocker; that of a dead primary costs what it alone had.
const forcing = b => b.code === "primary_down" ? "Give it up: what it had not passed on is lost, and listed (force primary_down)" : `Go on regardless (force ${b.code})`;
const at = side => now[side].address || "the " + side;

// Each step: its button, the dialog's title, what it will lead to in words, what is to be ticked before, and the request.
const STEPS = {
  start: {
    label: "Start the backfill", title: "Start the backfill?", act: "Start", blocked: true, leads: true,
    says: () => [`The precheck looks at both servers first, and refuses the start if something is in the way.`,
      `From then on every write of a client goes to ${at("source")} and to ${at("target")}, and what was there before is copied. Clients notice nothing.`],
    done: a => a.id ? "Started." : "It was started before.",
  },
  precheck: {
    label: "Run the precheck", title: "Run the precheck?", act: "Run",
    says: () => ["Both servers are looked at as before a start. One scratch key is written to each and removed; nothing else changes."],
    done: a => a.result === "success" ? "The precheck has found nothing in the way." : `The precheck: ${a.result}. See below.`,
  },
  pause: {
    label: "Pause", title: "Pause the backfill?", act: "Pause",
    says: () => ["Copying stops until you resume it. Clients' writes still reach both servers, and keys that are owed stay owed."],
    done: () => "Paused.",
  },
  resume: {
    label: "Resume", title: "Resume the backfill?", act: "Resume", leads: true, says: () => ["Copying goes on where it was."], done: () => "It goes on.",
  },
  throttle: {
    label: "Speed", title: "Change how fast is copied?", act: "Change", form: speedForm,
    says: () => ["Only the backfill and copies are slowed down, never clients' commands and their effects. It holds until Tandem is restarted."],
    done: a => `At most ${a.keys_per_s === null ? "any number of keys" : perSecond(a.keys_per_s) + " keys"} and ${a.bytes_per_s === null ? "any size" : bytes(a.bytes_per_s) + "/s"}.`,
  },
  verify: {
    label: "Verify", title: "Verify both servers?", act: "Verify", leads: true, form: verifyForm,
    says: () => ["Keys are compared on live data, both ways, beside the clients' commands. It reads from both servers and changes nothing, unless you repair."],
    done: () => "The verify has begun.",
  },
  cutover: {
    label: "Cut over", title: "Cut over to the target?", act: "Cut over", blocked: true, leads: true, form: () => whenForm([["now", "Now"], ...PLANNED]),
    says: () => {
      const last = now.cutover.last_pause_ms;
      return [`Clients' commands will be held ${last === null ? "for some milliseconds" : `for about ${ms(last)}, as the last time`}, ` +
        `${ms(now.cutover.max_pause_ms)} at most, then go to the target ${at("target")}. If it takes longer, it is undone as if never asked. No client gets an error.`,
      `The source ${at("source")} is kept equal after that, so a rollback loses nothing.` +
        (now.cutover.trial_ms > 0 ? ` For ${seconds(now.cutover.trial_ms / 1000)} the target is on trial: Tandem rolls back by itself if clients fare badly.` : "")];
    },
    done: a => a.planned ? "The cutover is planned." : a.pause_ms === 0 ? "It was done before." : `Done: clients were held for ${ms(a.pause_ms)}. The target answers.`,
  },
  plan: {
    label: "Plan the cutover", title: "Plan the cutover?", act: "Plan it", path: "cutover", form: () => whenForm(PLANNED),
    says: () => ["It comes by itself, through the same gates as one that is asked for, and is tried for an hour. " +
      `Clients' commands will be held for ${ms(now.cutover.max_pause_ms)} at most, then go to the target ${at("target")}.`],
    done: () => "The cutover is planned.",
  },
  cancel: {
    label: "Take back the plan", title: "Take back the planned cutover?", act: "Take it back", path: "cutover", body: {cancel: true},
    says: () => [`The cutover that is planned for ${moment(now.cutover.planned_at)} will not be done.`], done: () => "The plan is taken back.",
  },
  rollback: {
    label: "Roll back", title: "Roll back to the source?", act: "Roll back", blocked: true,
    says: () => [`Clients' commands will be held for about ${ms(now.cutover.last_pause_ms ?? now.cutover.max_pause_ms)}, ${ms(now.cutover.max_pause_ms)} at most, ` +
      `then go to the source ${at("source")} again. It has every write that was answered since the cutover. No client gets an error.`,
    `The target ${at("target")} is kept equal after that; you can cut over again.`],
    done: a => a.pause_ms === 0 ? "It was done before." : `Done: clients were held for ${ms(a.pause_ms)}. The source answers.`,
  },
  finish: {
    label: "Finish", title: "Finish the migration?", act: "Finish", blocked: true, danger: true, tick: "I know that there is no rollback after this.",
    says: () => [`The source ${at("source")} gets no more writes: from now on it falls behind. The target ${at("target")} is served alone.`,
      "This cannot be undone."],
    done: () => "Finished. The report is in the state directory.",
  },
};

// offered are the steps that make sense now: the one that leads on first.
function offered(s) {
  switch (s.phase) {
    case "passthrough":
      return ["start", "precheck"];
    case "backfill":
      return [s.backfill.state === "paused" ? "resume" : "pause", ...(s.throttle ? ["throttle"] : []), s.cutover.planned_at === null ? "plan" : "cancel"];
    case "synced":
      return [...(s.verify.state === "done" && s.verify.different === 0 ? ["cutover", "verify"] : ["verify", "cutover"]),
        ...(s.cutover.planned_at === null ? [] : ["cancel"])];
    case "two_way":
      return ["verify"];
    case "reversed":
      return ["rollback", "verify", "finish"];
  }
  return [];
}

export function showSteps(s) {
  now = s;
  const steps = offered(s);
  fill($("actions"), steps.join(), () => steps.map((name, i) => el("button", {
    type: "button", id: "step-" + name, class: STEPS[name].danger ? "danger" : i === 0 && STEPS[name].leads ? "primary" : "", onclick: () => ask(name),
  }, STEPS[name].label)));
  closeSteps(false);
}

// closeSteps takes the buttons away from who could not be answered; showSteps gives them back.
export const closeSteps = closed => $("actions").querySelectorAll("button").forEach(b => { b.disabled = closed; });

// say tells what came of a step, beside the buttons.
const say = (words, bad) => {
  $("outcome").className = "outcome" + (bad ? " bad" : "");
  text($("outcome"), words);
};

// ask opens the dialog of a step.
function ask(name) {
  const step = STEPS[name], dialog = $("dialog");
  const form = step.form?.();
  const known = step.blocked ? now.blockers.filter(b => b.code !== "not_started") : [];
  const problems = el("div", {class: "problems", role: "alert"});
  const go = el("button", {type: "submit", class: step.danger ? "danger" : "primary"}, step.act);
  const back = el("button", {type: "button", onclick: () => dialog.close()}, "Not now");
  const tick = step.tick ? el("input", {type: "checkbox", required: true, id: "dialog-tick"}) : null;
  const forced = () => [...problems.querySelectorAll("input[data-force]:checked")].map(i => i.dataset.force);

  const list = (message, blockers) => {
    problems.replaceChildren(...[el("p", {class: "bad"}, message),
      blockers.length ? el("ul", {class: "notes-list bad"}, blockers.map(b => note(b, canForce(b) ? el("label", {class: "force"},
        el("input", {type: "checkbox", "data-force": b.code}), forcing(b)) : null))) : null].filter(Boolean));
  };
  if (known.length) list(`${plural(known.length, "thing stands", "things stand")} in the way now:`, known);

  dialog.replaceChildren(el("form", {onsubmit: async e => {
    e.preventDefault();
    const body = {...step.body, ...form?.read()};
    const names = forced();
    if (names.length) body.force = names.join(",");
    go.disabled = back.disabled = true;
    dialog.dataset.busy = "";
    text(go, "…");
    try {
      const answer = await post("api/v1/" + (step.path ?? name), body);
      dialog.close();
      say(step.done(answer));
    } catch (error) {
      list(sentence(error.message), error.blockers ?? []);
    } finally {
      go.disabled = back.disabled = false;
      delete dialog.dataset.busy;
      text(go, step.act);
    }
  }},
  el("h2", {id: "dialog-title"}, step.title),
  step.says().map(p => el("p", {}, p)), form?.element, problems,
  tick ? el("label", {class: "choice"}, tick, el("span", {}, step.tick)) : null,
  el("div", {class: "actions"}, back, go)));
  dialog.oncancel = e => {
    if (dialog.dataset.busy !== undefined) e.preventDefault(); // what it came to must be seen
  };
  say("");
  dialog.showModal();
  back.focus();
}

const sentence = words => words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");

function choices(name, legend, options) {
  return el("fieldset", {}, el("legend", {}, legend), options.map(([value, label, more], i) => el("label", {class: "choice"},
    el("input", {type: "radio", name, value, checked: i === 0}), el("span", {}, label, more ? el("small", {}, more) : null))));
}

// speedForm asks for both bounds; 0, or nothing, is none.
function speedForm() {
  const field = (id, label, value) => el("label", {class: "field"}, label, el("input", {type: "number", id, min: "0", step: "any", value: value ?? ""}));
  const t = now.throttle;
  const keys = field("speed-keys", "Keys per second, at most", t.keys_per_s);
  const size = field("speed-bytes", "MiB per second, at most", t.bytes_per_s === null ? null : t.bytes_per_s / 2 ** 20);
  const read = label => Number(label.querySelector("input").value || 0);
  return {
    element: el("div", {class: "fields"}, keys, size, el("p", {class: "remark"}, "Nothing, or 0: no bound.")),
    read: () => ({max_keys_per_s: Math.round(read(keys)), max_bytes_per_s: Math.round(read(size) * 2 ** 20)}),
  };
}

function verifyForm() {
  const repair = el("input", {type: "checkbox", id: "verify-repair"});
  const mode = choices("mode", "How much", [["full", "Everything", "each key's value, type and expiry"],
    ["sample", "A sample", "and what it says of the whole"], ["keys", "Names only", "quick; not the values"]]);
  return {
    element: el("div", {}, mode, el("label", {class: "choice"}, repair,
      el("span", {}, "Repair what differs", el("small", {}, "the server that answers is right: its keys are copied over the other's")))),
    read: () => ({mode: mode.querySelector("input:checked").value, repair: repair.checked}),
  };
}

const PLANNED = [["ready", "As soon as nothing stands in the way", "it is tried for an hour"], ["at", "At a time", "it is tried from then on, for an hour"]];

function whenForm(options) {
  const when = choices("when", "When", options);
  const time = el("input", {type: "datetime-local", id: "cutover-at", "aria-label": "Time of the cutover", hidden: true});
  when.append(time);
  const chosen = () => when.querySelector("input:checked").value;
  when.addEventListener("change", () => {
    time.hidden = chosen() !== "at";
    time.required = !time.hidden;
  });
  return {
    element: when,
    read: () => chosen() === "ready" ? {when_ready: true} : chosen() === "at" ? {at: new Date(time.value).getTime()} : {},
  };
}

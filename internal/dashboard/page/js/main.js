// The page: what comes from the server each second goes to the parts that show it.

import {$, el, text} from "./dom.js";
import {Refused, get, watch, setToken} from "./api.js";
import {clock, seconds} from "./format.js";
import {buildCharts, drawCharts, rebuild, take, latest, lastAt, setMarks} from "./charts.js";
import {showPhases, showFlow, showBlockers} from "./phases.js";
import {showSteps, closeSteps} from "./steps.js";
import {buildPanels, showPanels, showPrecheck, showEvents, showReport} from "./panels.js";

const seen = {event: -1, checked: undefined, report: ""};
let heard = 0;   // when the last message came
let built = false;
let lostTimer = 0;

function show(m) {
  if (m.error) return;
  const s = m.status;
  heard = Date.now();
  connected(s);
  $("login").hidden = true;
  $("main").hidden = false;
  if (!built) {
    built = true;
    buildPanels();
    buildCharts();
  }
  take(m.history);
  const sample = latest();
  showPhases(s);
  showFlow(s, sample);
  showBlockers(s);
  showSteps(s);
  showPanels(s, m.clients);
  drawCharts();
  askForMore(m);
}

// askForMore asks for what is not in each message, when it has changed. What could not be had is asked for again.
function askForMore(m) {
  const later = key => () => { seen[key] = undefined; };
  if (m.last_event !== seen.event) {
    seen.event = m.last_event;
    showEvents(m.last_event).then(marks => {
      setMarks(marks);
      drawCharts();
    }).catch(later("event"));
  }
  if (m.checked_at !== seen.checked) {
    seen.checked = m.checked_at;
    showPrecheck().catch(later("checked"));
  }
  const report = [m.status.phase, m.status.verify.state, m.status.verify.id, m.last_event, Math.floor(m.status.uptime_s / 10)].join();
  if (report !== seen.report) {
    seen.report = report;
    showReport().catch(later("report"));
  }
}

function connected(s) {
  clearInterval(lostTimer);
  lostTimer = 0;
  $("lost").hidden = true;
  $("main").classList.remove("stale");
  $("live").dataset.state = "live";
  text($("live-text"), `live · up ${seconds(s.uptime_s)}`);
}

// lost says how old what is shown is, until a message comes.
function lost(error) {
  $("live").dataset.state = "lost";
  text($("live-text"), "not reachable");
  $("main").classList.add("stale");
  closeSteps(true);
  $("lost").hidden = false;
  const why = error instanceof Refused ? `Tandem answers: ${error.message}.` : "Tandem does not answer.";
  const tell = () => text($("lost"), heard
    ? `${why} What is shown is of ${clock(heard)}, ${seconds((Date.now() - heard) / 1000)} ago. Trying again.`
    : `${why} Trying again.`);
  tell();
  clearInterval(lostTimer);
  lostTimer = setInterval(tell, 1000);
}

function denied(error) {
  const again = sessionStorage.getItem("tandem-token") !== null;
  $("main").hidden = true;
  $("lost").hidden = true;
  clearInterval(lostTimer);
  lostTimer = 0;
  $("live").dataset.state = "closed";
  text($("live-text"), "locked");
  $("login").hidden = false;
  text($("login-error"), error.status === 403 ? error.message : again ? "That is not the token." : "");
  $("token").focus();
}

const follow = () => watch({
  open: async () => take(await get("api/v1/history?after=" + lastAt())),
  message: show, lost, denied,
});

$("login").addEventListener("submit", e => {
  e.preventDefault();
  setToken($("token").value);
  $("token").value = "";
  follow();
});

// The theme: the system's until the reader chooses.
const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = () => document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
function showTheme() {
  $("theme").dataset.theme = theme();
  $("theme").setAttribute("aria-label", theme() === "dark" ? "Show it light" : "Show it dark");
  if (built) rebuild();
}
$("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = theme() === "dark" ? "light" : "dark";
  localStorage.setItem("tandem-theme", document.documentElement.dataset.theme);
  showTheme();
});
dark.addEventListener("change", showTheme);
$("theme").append(el("span", {"aria-hidden": "true"}));
showTheme();
follow();

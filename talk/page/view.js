// The page's elements. What was said or reported only ever becomes text, never markup.

import { LEGS, SPANS, duration, states } from "./legs.js";

const byId = (id) => document.getElementById(id);
const phrases = new Map();
const rows = new Map();
const bars = new Map();

export const buttons = { join: byId("join"), mute: byId("mute"), leave: byId("leave") };

export function prepare() {
  byId("host").textContent = location.host;
  for (const [leg, name] of Object.entries(LEGS)) {
    const row = byId("legs").appendChild(document.createElement("div"));
    row.dataset.leg = leg;
    row.append(element("dt", name), element("dd"));
    rows.set(leg, row);
  }
  for (const [span, name] of Object.entries(SPANS)) {
    const row = byId("spans").appendChild(document.createElement("tr"));
    row.dataset.span = span;
    const title = element("th", name);
    title.scope = "row";
    row.append(title, element("td", "–"));
    bars.set(span, row);
  }
  reset();
}

// As before a call.
export function reset() {
  for (const leg of Object.keys(LEGS)) showLeg(leg, "idle", "–");
}

// A sentence about the call: "idle", "good", "warning" or "failed".
export function say(state, sentence) {
  byId("status").dataset.state = state;
  byId("status").textContent = sentence;
}

export function showLeg(leg, state, text) {
  const row = rows.get(leg);
  row.dataset.state = state;
  row.lastChild.textContent = text;
  if (leg === "agent") byId("voice").dataset.agent = state === "good" ? text : "";
}

export function showCalling(calling) {
  buttons.join.hidden = calling;
  buttons.mute.hidden = buttons.leave.hidden = !calling;
  showMuted(false);
}

export function showMuted(muted) {
  buttons.mute.setAttribute("aria-pressed", String(muted));
  buttons.mute.textContent = muted ? "Unmute" : "Mute";
}

// One phrase of the caller ("you") or the assistant; the same id again replaces what it said before.
export function showWords(who, id, text, final) {
  byId("silence").hidden = true;
  let phrase = phrases.get(id);
  if (!phrase) {
    phrase = byId("transcript").appendChild(document.createElement("li"));
    phrase.dataset.who = who;
    phrase.append(element("span", who === "you" ? "You" : "Assistant"), element("p"));
    phrases.set(id, phrase);
  }
  phrase.lastChild.textContent = text;
  // A reader hears a phrase once, when it is whole.
  phrase.setAttribute("aria-busy", String(!final));
  phrase.scrollIntoView({ block: "nearest" });
}

export function clearWords() {
  phrases.clear();
  byId("transcript").replaceChildren();
  byId("silence").hidden = false;
}

export function showTurn(turn) {
  for (const [leg, { state, text }] of Object.entries(states(turn))) showLeg(leg, state, text);
  const times = turn.legs_ms ?? {};
  const longest = Math.max(1, ...Object.values(times));
  for (const [span, row] of bars) {
    const took = times[span];
    row.lastChild.textContent = took === undefined ? "–" : duration(took);
    row.style.setProperty("--share", String((took ?? 0) / longest));
  }
  byId("turn-title").textContent = `Last turn: number ${turn.turn}`;
  byId("reply").firstElementChild.textContent = times.reply === undefined ? "–" : duration(times.reply);
}

function element(name, text = "") {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

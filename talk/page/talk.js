// The page: takes the token out of the address, and connects buttons, call and view.

import { Call, ROOM_ENDS_MS } from "./call.js";
import { NEW_LINK } from "./sentences.js";
import * as view from "./view.js";

const { join, mute, leave } = view.buttons;
// In this page's memory alone, and out of the address bar: nobody reads it over a shoulder or from a bookmark.
const token = decodeURIComponent(location.hash.slice(1));
history.replaceState(null, "", location.pathname);

let call = null;
let muted = false;

view.prepare();
if (token) {
  join.disabled = false;
  view.say("idle", "Ready. The browser will ask for the microphone.");
} else {
  view.say("failed", `This page opens with a link that was made for you, and this address is none. ${NEW_LINK}`);
}
// A second link pasted into the address bar of this page loads nothing by itself.
addEventListener("hashchange", () => location.reload());

join.addEventListener("click", async () => {
  join.disabled = true;
  view.reset();
  view.clearWords();
  view.say("idle", "Joining…");
  muted = false;
  call = new Call({ ...view, over });
  const joined = await call.join(token);
  join.disabled = false;
  if (joined) {
    view.showCalling(true);
    mute.focus();
  }
});

mute.addEventListener("click", async () => {
  muted = !muted;
  await call.mute(muted);
  view.showMuted(muted);
});

leave.addEventListener("click", () => call.leave());

function over() {
  view.showCalling(false);
  join.disabled = true;
  setTimeout(() => {
    join.disabled = false;
    join.focus();
  }, ROOM_ENDS_MS);
}

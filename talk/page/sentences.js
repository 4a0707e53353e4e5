// What the page says when a call does not begin, does not work, or ends.

import { ConnectionError, ConnectionErrorReason, DisconnectReason } from "./livekit-client.mjs";

export const NEW_LINK = "Get a new one: pyinfra INVENTORY deploys/talk.py";

export const ONCE_MORE = "Connected, but no agent has joined. Trying once more…";

export const NO_AGENT =
  "Connected, but no agent has joined: it may be busy with other calls, or not healthy. " +
  "On the host, docker logs voice-voice-agent-1 says which.";

const MICROPHONE_PROBLEMS = {
  NotAllowedError:
    "The browser does not let this page use the microphone. Allow it beside the address, then join again.",
  NotFoundError: "This device has no microphone. Connect one, then join again.",
  NotReadableError: "The microphone cannot be used; another program may have it. Then join again.",
};

const ENDINGS = {
  [DisconnectReason.CLIENT_INITIATED]: ["idle", "You left. The link can be used again until it expires."],
  [DisconnectReason.DUPLICATE_IDENTITY]: ["warning", "This link was opened a second time, and the call went there."],
  [DisconnectReason.SERVER_SHUTDOWN]: ["failed", "LiveKit is being stopped: the call is over."],
  [DisconnectReason.PARTICIPANT_REMOVED]: ["failed", "You were removed from the call."],
  [DisconnectReason.ROOM_DELETED]: ["warning", "The room was closed: the call is over."],
};

export function microphoneProblem(error) {
  return MICROPHONE_PROBLEMS[error.name] ?? `The microphone cannot be used (${error.name}).`;
}

export function connectionProblem(error) {
  if (error instanceof ConnectionError && error.reason === ConnectionErrorReason.NotAllowed) {
    return `This link has expired or was refused. ${NEW_LINK}`;
  }
  return `LiveKit cannot be reached (${error.message}). deploys/verify.py finds out why.`;
}

// [state, sentence] for LiveKit's reason.
export function ending(reason) {
  return ENDINGS[reason] ?? ["failed", "The connection was lost and did not come back."];
}

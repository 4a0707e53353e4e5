// What a turn says about the legs of a call. Pure: no page, no network.

export const LEGS = {
  connection: "Connection",
  microphone: "Microphone",
  agent: "Agent",
  stt: "Speech recognition",
  llm: "Language model",
  guard: "Guard",
  tts: "Speech",
};

// The agent's names for the spans of a turn (agent/README.md), as people say them.
export const SPANS = {
  transcript: "Speech recognition",
  turn: "End of turn noticed",
  first_token: "Language model’s first word",
  guard: "Guard’s verdict",
  first_audio: "First sound",
  reply: "Reply",
};

const SPAN_OF = { stt: "transcript", llm: "first_token", guard: "guard", tts: "first_audio" };

// Leg -> {state, text} for the four that the agent reports about, from one `voice.turn` message.
export function states(turn) {
  const [failed, why] = split(turn.error);
  return Object.fromEntries(
    Object.entries(SPAN_OF).map(([leg, span]) => {
      if (leg === failed) return [leg, { state: "failed", text: why }];
      const took = turn.legs_ms?.[span];
      if (leg === "guard") return [leg, verdict(turn, took)];
      return [leg, took === undefined ? unused() : { state: "good", text: duration(took) }];
    }),
  );
}

export function duration(ms) {
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function verdict(turn, took) {
  const { input, output = [] } = turn.guard ?? {};
  const verdicts = [input, ...output].filter(Boolean);
  if (!verdicts.length) return unused();
  const time = took === undefined ? "" : `, ${duration(took)}`;
  if (turn.refused) return { state: "warning", text: `refused: ${verdicts.find((word) => word !== "safe")}${time}` };
  return { state: "good", text: `safe${time}` };
}

function unused() {
  return { state: "idle", text: "not used in this turn" };
}

// "llm: denied" -> ["llm", "denied"]
function split(error) {
  const [leg, ...rest] = (error ?? "").split(": ");
  return [leg, rest.join(": ") || "failed"];
}

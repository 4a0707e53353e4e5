// One call: LiveKit's room, the microphone, what the agent says about itself. Tells `view` in words.

import {
  ConnectionState,
  DisconnectReason,
  LoggerNames,
  ParticipantKind,
  Room,
  RoomEvent,
  Track,
  TrackEvent,
  createLocalAudioTrack,
  getLogger,
} from "./livekit-client.mjs";
import { NO_AGENT, ONCE_MORE, connectionProblem, ending, microphoneProblem } from "./sentences.js";

const AGENT_STATE = "lk.agent.state";
const TRANSCRIPTION = "lk.transcription";
const SEGMENT = "lk.segment_id";
const FINAL = "lk.transcription_final";
const TURN = "voice.turn";
const AGENT_PATIENCE_MS = 10_000;
const ROUND_TRIP_EVERY_MS = 2_000;
// LiveKit sends an agent to a new room, and ends a room a second after its caller left (agent/voice_agent/invite.py),
// by a clock of whole seconds that it looks at every second.
export const ROOM_ENDS_MS = 3_000;

// Not `setLogLevel`: it would write itself into the browser's storage.
for (const name of Object.values(LoggerNames)) getLogger(name).setDefaultLevel("warn");

export class Call {
  #room = new Room();
  #view;
  #microphone;
  #token;
  #joined = false;
  #enteredOnceMore = false;
  #betweenRooms = false;
  #agentTimer;
  #statsTimer;

  constructor(view) {
    this.#view = view;
    this.#listen();
  }

  // Asks for the microphone, joins, speaks. Says itself what went wrong; true when the call runs.
  async join(token) {
    const { showLeg, say } = this.#view;
    try {
      // In the click's own time: browsers let a page play sound that a person asked for.
      await this.#room.startAudio();
      showLeg("microphone", "warning", "asking the browser");
      this.#microphone = await createLocalAudioTrack({
        echoCancellation: true,
        noiseSuppression: true,
        autoGainControl: true,
      });
      showLeg("microphone", "good", "on");
    } catch (error) {
      showLeg("microphone", "failed", error.name);
      say("failed", microphoneProblem(error));
      return false;
    }
    this.#token = token;
    try {
      await this.#enter();
    } catch (error) {
      await this.#notConnected(error);
      return false;
    }
    this.#microphone.once(TrackEvent.Ended, () => showLeg("microphone", "failed", "gone"));
    this.#statsTimer = setInterval(() => this.#roundTrip(), ROUND_TRIP_EVERY_MS);
    return true;
  }

  async leave() {
    this.#betweenRooms = false;
    // Between two rooms there is no connection whose end would be told.
    if (this.#room.state === ConnectionState.Disconnected) this.#over(DisconnectReason.CLIENT_INITIATED);
    else await this.#room.disconnect();
  }

  async mute(muted) {
    await (muted ? this.#microphone.mute() : this.#microphone.unmute());
    this.#view.showLeg("microphone", muted ? "warning" : "good", muted ? "muted" : "on");
  }

  async #enter() {
    this.#view.showLeg("connection", "warning", "connecting");
    this.#watchForAgent();
    await this.#room.connect(`wss://${location.host}`, this.#token);
    await this.#room.localParticipant.publishTrack(this.#microphone, { source: Track.Source.Microphone });
    this.#joined = true;
    this.#connected();
  }

  // Who came back before the old room had ended sits in it without an agent.
  async #enterOnceMore() {
    this.#enteredOnceMore = this.#betweenRooms = true;
    this.#view.say("warning", ONCE_MORE);
    const stopMicrophone = false;
    await this.#room.disconnect(stopMicrophone);
    await new Promise((ended) => setTimeout(ended, ROOM_ENDS_MS));
    if (!this.#joined) return;
    this.#betweenRooms = false;
    try {
      await this.#enter();
    } catch (error) {
      if (!this.#joined) return;
      this.#joined = false;
      await this.#notConnected(error);
      this.#view.over();
    }
  }

  async #notConnected(error) {
    this.#close();
    await this.#room.disconnect();
    this.#view.showLeg("connection", "failed", "not connected");
    for (const leg of ["agent", "microphone"]) this.#view.showLeg(leg, "idle", "–");
    this.#view.say("failed", connectionProblem(error));
  }

  #listen() {
    const { showLeg, say } = this.#view;
    const again = () => {
      showLeg("connection", "warning", "lost, trying again");
      say("warning", "The connection was lost. Trying again…");
    };
    this.#room
      .on(RoomEvent.SignalReconnecting, again)
      .on(RoomEvent.Reconnecting, again)
      .on(RoomEvent.Reconnected, () => this.#connected("Connected again. Go on talking."))
      .on(RoomEvent.Disconnected, (reason) => this.#over(reason))
      .on(RoomEvent.ParticipantConnected, (participant) => this.#agentIs(participant))
      .on(RoomEvent.ParticipantAttributesChanged, (_, participant) => this.#agentIs(participant))
      .on(RoomEvent.ParticipantDisconnected, (participant) => this.#agentLeft(participant))
      .on(RoomEvent.TrackSubscribed, (track) => document.body.append(track.attach()))
      .on(RoomEvent.TrackUnsubscribed, (track) => track.detach().forEach((element) => element.remove()));
    this.#room.registerTextStreamHandler(TRANSCRIPTION, (reader, { identity }) => this.#words(reader, identity));
    this.#room.registerTextStreamHandler(TURN, async (reader) => {
      this.#view.showTurn(JSON.parse(await reader.readAll()));
    });
  }

  #connected(sentence) {
    this.#view.showLeg("connection", "good", "connected");
    const agent = this.#agent();
    if (agent) this.#agentIs(agent);
    if (sentence || !agent) this.#view.say("good", sentence ?? "Connected. Waiting for the agent…");
  }

  async #roundTrip() {
    const seconds = (await this.#microphone.getSenderStats())?.roundTripTime;
    if (seconds !== undefined && this.#room.state === "connected") {
      this.#view.showLeg("connection", "good", `${Math.round(seconds * 1000)} ms round trip`);
    }
  }

  #agent() {
    return [...this.#room.remoteParticipants.values()].find(({ kind }) => kind === ParticipantKind.AGENT);
  }

  #watchForAgent() {
    this.#view.showLeg("agent", "warning", "waiting for it");
    clearTimeout(this.#agentTimer);
    this.#agentTimer = setTimeout(() => this.#noAgent(), AGENT_PATIENCE_MS);
  }

  #noAgent() {
    if (!this.#enteredOnceMore) return this.#enterOnceMore();
    this.#view.showLeg("agent", "failed", "has not joined");
    this.#view.say("failed", NO_AGENT);
  }

  #agentIs(participant) {
    if (participant.kind !== ParticipantKind.AGENT) return;
    clearTimeout(this.#agentTimer);
    const state = participant.attributes[AGENT_STATE] ?? "joined";
    this.#view.showLeg("agent", "good", state);
    if (state === "listening") this.#view.say("good", "Connected. Speak when you like.");
  }

  #agentLeft(participant) {
    if (participant.kind !== ParticipantKind.AGENT) return;
    this.#view.showLeg("agent", "failed", "left");
    this.#view.say("failed", "The agent left the call. On the host, docker logs voice-voice-agent-1 may say why.");
  }

  // The caller's words come as one stream for each guess, the last of them final; the agent's as one that grows.
  async #words(reader, identity) {
    const attributes = reader.info.attributes ?? {};
    const who = identity === this.#room.localParticipant.identity ? "you" : "assistant";
    const id = `${who} ${attributes[SEGMENT] ?? reader.info.id}`;
    let text = "";
    for await (const piece of reader) {
      text += piece;
      this.#view.showWords(who, id, text, attributes[FINAL] === "true");
    }
    if (text) this.#view.showWords(who, id, text, true);
  }

  #over(reason) {
    // A call that never began says itself why.
    if (!this.#joined || this.#betweenRooms) return;
    this.#joined = false;
    this.#close();
    const [state, sentence] = ending(reason);
    this.#view.showLeg("connection", state, state === "idle" ? "left" : "over");
    this.#view.showLeg("agent", "idle", "–");
    this.#view.showLeg("microphone", "idle", "off");
    this.#view.say(state, sentence);
    this.#view.over();
  }

  #close() {
    clearTimeout(this.#agentTimer);
    clearInterval(this.#statsTimer);
    this.#microphone?.stop();
  }
}

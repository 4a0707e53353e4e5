"""The agent of one call: judges what the caller says, makes the reply, has it spoken, and keeps the times."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing

from livekit import rtc
from livekit.agents import (
    Agent,
    AgentStateChangedEvent,
    APIError,
    ModelSettings,
    SpeechCreatedEvent,
    StopResponse,
    UserInputTranscribedEvent,
    llm,
)
from livekit.agents.voice.transcription.filters import filter_emoji, filter_markdown

from .guard import Guard, Verdict
from .replies import Phrases, Replies
from .reports import Reports
from .tts import kind
from .turns import Reply, Turn


class Conversation(Agent):  # type: ignore[misc,unused-ignore]
    """One caller's conversation.

    The framework starts the model as soon as there is a transcript and adopts or drops the result when the caller
    turns out to be done (preemptive generation). So there is a newest `Reply`, and it becomes the turn's when its
    speech starts.
    """

    def __init__(self, instructions: str, guard: Guard, phrases: Phrases, reports: Reports, judge_input: bool) -> None:
        super().__init__(instructions=instructions)
        self._guard = guard
        self._phrases = phrases
        self._reports = reports
        self._judge_input = judge_input
        self._replies = Replies(guard, phrases, reports)
        self._turns = 0
        self._turn: Turn | None = None  # said, and nothing spoken in reply yet
        self._answered: Turn | None = None  # and being replied to
        self._reply = Reply()  # the newest
        self._transcript_at: float | None = None
        self._verdict: tuple[str, asyncio.Task[Verdict]] | None = None  # on the newest words

    # What the framework calls

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        """The caller is done: refuse what the guard refuses; the reply to it is already on its way."""
        turn = self._new_turn(new_message.metrics.get("stopped_speaking_at"))
        verdict = await self._judged(new_message.text_content or "")
        if verdict is None or verdict.safe:
            turn.verdict = verdict.word if verdict else None
            return
        turn.verdict = verdict.word
        refusal = self._say(self._phrases.refusal)
        refusal.refused = True
        if verdict.word != "unsafe":
            refusal.error = f"guard: {verdict.word}"
            self._reports.error("guard", verdict.word)
        # keeps the caller's words out of the history, and drops the reply made meanwhile
        raise StopResponse

    async def llm_node(
        self, chat_ctx: llm.ChatContext, tools: list[llm.Tool], model_settings: ModelSettings
    ) -> AsyncGenerator[str, None]:
        """The guarded reply to the last thing the caller said, sentence by sentence."""
        caller = _last_words(chat_ctx)
        self._start_judging(caller)
        chunks = Agent.default.llm_node(self, chat_ctx, tools, model_settings)
        # closed with this generator, not when the garbage is collected: it holds requests
        async with aclosing(self._replies.speak(caller, chunks, self._reply)) as sentences:
            async for sentence in sentences:
                yield sentence

    async def tts_node(
        self, text: AsyncIterable[str], model_settings: ModelSettings
    ) -> AsyncGenerator[rtc.AudioFrame, None]:
        """Speak each piece of `text`, which is a whole sentence.

        The framework's own node waits for the next sentence to be sure of the end of one. The engine is faster than
        speech, so the next request goes out while the audio of this one is still being played.
        """
        reply = self._begin()
        try:
            async for sentence in text:
                async with aclosing(self._speech(sentence)) as frames:
                    async for frame in frames:
                        reply.audio_at = reply.audio_at or time.time()
                        yield frame
        except APIError as error:
            reply.error = f"tts: {kind(error)}"
            self._reports.error("tts", kind(error))
            raise

    # What the session tells

    def on_speech_created(self, event: SpeechCreatedEvent) -> None:
        """A reply begins to be made; it is reported when it has been spoken, if it ever is."""
        reply = self._reply = Reply()
        event.speech_handle.add_done_callback(lambda _: self._done(reply))

    def on_transcript(self, event: UserInputTranscribedEvent) -> None:
        """The caller's words arrived."""
        if event.is_final:
            self._transcript_at = event.created_at

    def on_state(self, event: AgentStateChangedEvent) -> None:
        """The first audio goes out."""
        if event.new_state == "speaking":
            self._reply.speaking_at = self._reply.speaking_at or event.created_at

    def on_stt_failed(self, why: str) -> None:
        """Recognition failed: say so, or the caller waits for a reply that will not come."""
        self._reports.error("stt", why)
        self._new_turn(None)
        self._say(self._phrases.apology).error = f"stt: {why}"

    # What they share

    def _new_turn(self, ended_at: float | None) -> Turn:
        self._turns += 1
        self._turn = Turn(self._turns, ended_at, self._transcript_at, committed_at=time.time())
        return self._turn

    def _begin(self) -> Reply:
        """The newest reply is going to be spoken: it is the open turn's."""
        if self._turn is not None:
            self._turn.reply = self._reply
            self._answered, self._turn = self._turn, None
        return self._reply

    def _done(self, reply: Reply) -> None:
        if self._answered is not None and self._answered.reply is reply:
            self._reports.turn(self._answered)
            self._answered = None

    def _say(self, text: str) -> Reply:
        self.session.say(text)
        return self._reply  # on_speech_created made it

    async def _speech(self, sentence: str) -> AsyncGenerator[rtc.AudioFrame, None]:
        plain = (await _without_markup(sentence)).strip()
        if not plain:
            return
        options = self.session.conn_options.tts_conn_options
        async with self.session.tts.synthesize(plain, conn_options=options) as stream:
            async for audio in stream:
                yield audio.frame

    def _start_judging(self, words: str) -> asyncio.Task[Verdict] | None:
        """Begin to judge the caller's words, unless it has begun; the model answers meanwhile."""
        if not self._judge_input:
            return None
        if self._verdict is None or self._verdict[0] != words:
            self._verdict = (words, asyncio.create_task(self._judge(words)))
        return self._verdict[1]

    async def _judged(self, words: str) -> Verdict | None:
        task = self._start_judging(words)
        self._verdict = None  # the same words said again are a new turn
        return await task if task else None

    async def _judge(self, words: str) -> Verdict:
        verdict = await self._guard.judge_input(words)
        self._reports.verdict("input", verdict)
        return verdict


async def _without_markup(sentence: str) -> str:
    """Take out what would be read aloud as "asterisk"; on whole sentences, as the framework does it on a stream."""

    async def once() -> AsyncGenerator[str, None]:
        yield sentence

    return "".join([part async for part in filter_emoji(filter_markdown(once()))])


def _last_words(chat_ctx: llm.ChatContext) -> str:
    for item in reversed(chat_ctx.items):
        if item.type == "message" and item.role == "user":
            return item.text_content or ""
    return ""

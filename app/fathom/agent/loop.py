"""The agent loop: ask the engine, run the call, record the step; then write the answer from the trace.

Knows nothing of Qt, SQLite or processes. Errors that the model can mend become observations; every other one
propagates.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec

from fathom.agent import guards, prompts
from fathom.agent.answer import passages_view
from fathom.agent.control import RunControl
from fathom.agent.report import boxed, build_report
from fathom.core.events import (
    AgentEvent,
    AnswerDelta,
    AnswerStarted,
    CallDelta,
    CallStarted,
    GenerationFinished,
    Notice,
    ObservationReady,
    PrefillProgress,
    PromptProgress,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    StepFinished,
    StepStarted,
    ThoughtDelta,
    TokenDelta,
)
from fathom.core.protocols import Engine, GenerateRequest, Toolbox
from fathom.core.types import (
    FinishReason,
    Message,
    Observation,
    Step,
    Task,
    ToolCall,
    ToolChoice,
    ToolSpec,
    Trajectory,
    Usage,
)
from fathom.prompting import context
from fathom.prompting.examples import example_messages
from fathom.prompting.formats import load_format
from fathom.prompting.formats.base import Limits
from fathom.prompting.formats.grammar import answer_grammar, phrase_grammar
from fathom.prompting.formats.parsing import Turn, TurnParser
from fathom.prompting.profiles import Profile
from fathom.prompting.schedule import choose_block

MAX_CALLS = 600
_MIN_ANSWER_TOKENS = 64


async def run(
    task: Task,
    engine: Engine,
    toolbox: Toolbox,
    profile: Profile,
    *,
    control: RunControl | None = None,
    keep: int = 5,
    max_calls: int = MAX_CALLS,
    max_time_s: float = 0.0,
    history: Sequence[Step] = (),
    fast_memory: bool = False,
) -> AsyncGenerator[AgentEvent, None]:
    """Research ``task`` and yield what happens; the last event is RunFinished.

    ``keep`` is K, ``history`` the finished steps of a run that goes on, ``max_time_s`` 0 for no limit (it is looked at
    between turns). ``fast_memory`` lets results stay a little longer and leave in blocks (see ``prompting.schedule``);
    without it the view is ``S_t(K)`` to the letter. Cancelling the task, or closing the generator, stops the run.
    EngineError and bugs propagate.
    """
    this = _Run(task, engine, toolbox, profile, control or RunControl(), keep, list(history), fast_memory)
    started = time.monotonic()
    info = engine.info
    yield RunStarted(
        task=task,
        model=info.model,
        keep=keep,
        max_calls=min(max_calls, MAX_CALLS),
        context_tokens=this.budget.context,
        first_step=len(history) + 1,
        scripted=info.scripted,
    )
    reason: FinishReason | None = "answered" if history and not history[-1].calls else None
    while reason is None:
        async for event in this.boundary():
            yield event
        if this.control.finish_requested:
            reason = "finish_now"
        elif sum(len(step.calls) for step in this.steps) >= min(max_calls, MAX_CALLS):
            reason = "max_calls"
        elif max_time_s and time.monotonic() - started >= max_time_s:
            reason = "max_time"
        elif guards.goes_in_circles(this.steps):
            reason = "repetition"
        else:
            async with aclosing(this.turn()) as events:
                async for event in events:
                    yield event
            reason = this.reason
    async for event in this.boundary():
        yield event
    async with aclosing(this.answer(reason)) as events:
        async for event in events:
            yield event
    answer = boxed(this.final_text)
    report = build_report(Trajectory(task=task, steps=tuple(this.steps), answer=answer), this.final_text)
    yield RunFinished(
        answer=report.answer, finish_reason=reason, report=report, seconds=round(time.monotonic() - started, 3)
    )


class _Run:
    """One run's state: the steps so far, and what the present turn has written."""

    def __init__(
        self,
        task: Task,
        engine: Engine,
        toolbox: Toolbox,
        profile: Profile,
        control: RunControl,
        keep: int,
        steps: list[Step],
        fast_memory: bool,
    ) -> None:
        self.task, self.engine, self.toolbox, self.profile, self.control = task, engine, toolbox, profile, control
        self.keep, self.steps = keep, steps
        self.block: int | None = None if fast_memory and keep > 0 else 0  # None: not chosen yet
        self.format = load_format(profile.format)
        self.constrained = profile.constrained and engine.info.constrained
        self.budget = profile.budget(engine.info.context_tokens or profile.context_tokens)
        self.opening = self._opening()
        self.summary = self._request_for_answer(task.question)
        self.reason: FinishReason | None = None
        self.final_text = ""
        self._usage = Usage()
        self._ended = ""  # how the last generation ended: stop, length, cancelled, repetition
        self._ids: list[int] = []
        self._logprobs: list[float] = []
        self._summary_tokens = 0
        self._last_result_tokens = 0

    # --- boundaries -----------------------------------------------------------------------------------------------

    async def boundary(self) -> AsyncGenerator[AgentEvent, None]:
        """Hold here while the run is paused."""
        if self.control.paused:
            yield RunPaused(step=len(self.steps))
            await self.control.going()
            yield RunResumed(step=len(self.steps))

    # --- a turn ---------------------------------------------------------------------------------------------------

    async def turn(self) -> AsyncGenerator[AgentEvent, None]:
        """Think, act, observe; sets ``reason`` when the run is to end after it."""
        index = len(self.steps) + 1
        specs = self._offered()
        choice: ToolChoice = self.profile.tool_choice(guards.useful_calls(self.steps)) if specs else "none"
        if self.block is None and len(self.steps) > self.keep:
            self.block = await self._chosen_block()
        messages = self._view(choice)
        prompt_tokens = await self.engine.count_tokens(messages)
        if not self._summary_tokens:
            self._summary_tokens = await self._size(self.summary)
        if self.steps and not self._last_result_tokens:  # the run goes on from its history
            self._last_result_tokens = await self._size("".join(each.text for each in self.steps[-1].observations))
        if self.block and not self._fits(prompt_tokens):  # the room that it took is needed now
            self.block = 0
            messages = self._view(choice)
            prompt_tokens = await self.engine.count_tokens(messages)
        if not self._fits(prompt_tokens):
            self.reason = "context_full"
            return
        yield StepStarted(
            step=index,
            tool_choice=choice,
            in_view=context.retained(index, self.keep, self.block or 0),
            prompt_tokens=prompt_tokens,
            context_tokens=self.budget.context,
            block=self.block or 0,
        )
        parser = self.format.parser(bare=not self.constrained)
        self._ids, self._logprobs, self._usage = [], [], Usage()
        async with aclosing(self._generate(index, self._request(messages, specs, choice), parser)) as events:
            async for event in events:
                yield event
        turn = parser.finish()
        if self.control.finish_requested:
            yield self._finished(Step(index=index, thought=turn.thought, raw=turn.thought, tool_choice=choice))
            return
        meant = self._call_in(turn) if specs else None
        missed = choice == "required" and not self.constrained
        if turn.call is None and (meant or missed or self._ended in ("length", "repetition")):
            # Cut off, in circles, a call without its tags, which nothing held to its schema, or none where one is
            # required and nothing held the model to it: keep the thought and let the model write the call after it.
            thought = guards.without_repetition((meant or turn).thought)
            lead = f"{thought}\n" if thought else ""
            parser = self.format.parser(bare=not self.constrained)
            parser.feed(lead)
            again = self._request(messages, specs, "required" if specs and self.constrained else choice, lead)
            async with aclosing(self._generate(index, again, parser)) as events:
                async for event in events:
                    yield event
            turn = parser.finish()
        if turn.call is None:
            if turn.cut_off or self._ended in ("length", "repetition"):
                yield Notice(
                    text="The model did not get to a call; the report is written.", level="warning", step=index
                )
                self.reason = "repetition"
            else:
                self.reason = "answered"
            yield self._finished(Step(index=index, thought=turn.thought, raw=turn.raw, tool_choice=choice))
            return
        async with aclosing(self._act(index, turn, choice)) as events:
            async for event in events:
                yield event

    def _view(self, choice: ToolChoice) -> tuple[Message, ...]:
        """The messages of the next turn."""
        messages = context.conversation(self.format, self.opening, self.steps, self.keep, self.block or 0)
        nudge = self.profile.nudge(choice, self.task.question)
        return context.with_request(messages, nudge) if nudge else messages

    def _fits(self, prompt_tokens: int) -> bool:
        return context.has_room(prompt_tokens, self._last_result_tokens, self._summary_tokens, self.budget)

    async def _chosen_block(self) -> int:
        """How many results more than K may stay, from the sizes of the first K steps and a quarter of the context."""
        first = self.steps[: self.keep]
        results = [await self._size(each.text) for step in first for each in step.observations]
        calls = [await self._size(self.format.action(step).content) for step in first]
        if not results:
            return 0
        return choose_block(
            self.keep,
            sum(calls) / len(calls),
            sum(results) / len(results),
            await self._size(context.OMITTED),
            self.budget.context / 4,
        )

    def _call_in(self, turn: Turn) -> Turn | None:
        """The turn as the model meant it, when it wrote a call into its thought where only calls in tags count."""
        if turn.call is not None or not self.constrained:
            return None
        parser = self.format.parser()
        parser.feed(turn.thought)
        meant = parser.finish()
        return meant if meant.call else None

    def _request(
        self, messages: Sequence[Message], specs: Sequence[ToolSpec], choice: ToolChoice, lead: str | None = None
    ) -> GenerateRequest:
        """A turn's generation; with ``lead``, the thought so far, only what is to follow it: at once, and soberly."""
        limits = self._limits() if lead is None else Limits(thought_tokens=0, call_tokens=self.budget.output)
        sampling = guards.livelier(self.profile.sampling, guards.duplicates_in_a_row(self.steps))
        held, native = self.constrained, self.engine.info.native_tools
        schemas = self.engine.info.schemas and not held
        return GenerateRequest(
            messages=tuple(messages),
            max_tokens=limits.thought_tokens + limits.call_tokens,
            sampling=sampling if lead is None else msgspec.structs.replace(sampling, temperature=0.0),
            prefill=lead or "",
            stop=() if held else self.format.stop,
            grammar=self.format.grammar(specs, choice, limits) if held else "",
            json_schema=self.format.call_schema(specs, limits) if specs and lead is not None and schemas else {},
            tools=tuple(specs) if native else (),
            tool_choice=choice if native else "auto",
        )

    async def _generate(
        self, index: int, request: GenerateRequest, parser: TurnParser
    ) -> AsyncGenerator[AgentEvent, None]:
        self._ended = ""
        thought = ""
        async with aclosing(self.control.stream_until_finish(self.engine.generate(request))) as stream:
            async for event in stream:
                match event:
                    case PrefillProgress():
                        yield PromptProgress(step=index, done=event.done, total=event.total)
                    case TokenDelta():
                        self._ids.extend(event.ids)
                        self._logprobs.extend(event.logprobs)
                        for piece in parser.feed(event.text):
                            if piece.kind == "call":
                                yield CallDelta(step=index, text=piece.text)
                            else:
                                thought += piece.text
                                yield ThoughtDelta(step=index, text=piece.text)
                        if guards.repeats_itself(thought):
                            self._ended = "repetition"
                            return
                        if parser.done and not request.grammar and not request.json_schema:
                            self._ended = "stop"
                            return  # one call a message
                    case GenerationFinished():
                        self._ended = event.reason
                        self._usage = _sum(self._usage, event.usage)

    async def _act(self, index: int, turn: Turn, choice: ToolChoice) -> AsyncGenerator[AgentEvent, None]:
        """Run the turn's call and record the step."""
        written = turn.call
        assert written is not None
        call = ToolCall(
            id=f"{index}.0", name=written.name or prompts.UNREADABLE_CALL, arguments=dict(written.arguments)
        )
        async for event in self.boundary():
            yield event
        yield CallStarted(
            step=index, call_id=call.id, name=call.name, arguments=dict(call.arguments), thought=turn.thought
        )
        observation = await self._observe(index, call, written.error)
        observation = await self._fitted(observation)
        yield ObservationReady(step=index, observation=observation)
        yield self._finished(
            Step(
                index=index,
                thought=turn.thought,
                calls=(call,),
                observations=(observation,),
                raw=turn.raw,
                tool_choice=choice,
                usage=self._usage,
                token_ids=tuple(self._ids),
                logprobs=tuple(self._logprobs),
            )
        )

    async def _observe(self, index: int, call: ToolCall, error: str) -> Observation:
        if error:
            text = prompts.unreadable(error)
            return Observation(
                call_id=call.id, tool=call.name, text=text, title="This call could not be read", is_error=True
            )
        if earlier := guards.same_call(call, self.steps):
            seen = context.retained(index + 1, self.keep, self.block or 0)
            return guards.duplicate(call, earlier, earlier.index in seen)
        started = time.monotonic()
        found = await self.control.until_finish(self.toolbox.call(call))
        if found is not None:
            return found
        return Observation(
            call_id=call.id,
            tool=call.name,
            text=prompts.interrupted(),
            title="Interrupted",
            interrupted=True,
            seconds=round(time.monotonic() - started, 3),
        )

    async def _fitted(self, observation: Observation) -> Observation:
        """The observation with its text cut to the observation cap."""
        text, left_out = observation.text, 0
        size = await self._size(text)
        while size > self.budget.observation and len(text) > 40:
            shorter = int(len(text) * self.budget.observation / size * 0.95)
            text, left_out = context.cut(observation.text, shorter)
            size = await self._size(text)
        self._last_result_tokens = size
        if not left_out:
            return observation
        return msgspec.structs.replace(observation, text=text, cut_chars=observation.cut_chars + left_out)

    def _finished(self, step: Step) -> StepFinished:
        if not step.usage.prompt_tokens:
            step = msgspec.structs.replace(step, usage=self._usage)
        self.steps.append(step)
        return StepFinished(step=step, tokens_per_second=round(step.usage.tokens_per_second, 2))

    # --- the answer -----------------------------------------------------------------------------------------------

    async def answer(self, reason: FinishReason) -> AsyncGenerator[AgentEvent, None]:
        """The final answer from the trace, into ``final_text``."""
        from_passages, messages, prompt_tokens, room = await self._answer_view()
        yield AnswerStarted(reason=reason, prompt_tokens=prompt_tokens)
        tokens = min(self.profile.answer_tokens, room)
        grammar = ""
        if self.constrained and from_passages:
            grammar = phrase_grammar(max(16, tokens - 60))
        elif self.constrained and self.profile.boxed:
            grammar = answer_grammar(max(16, tokens - 140))
        request = GenerateRequest(
            messages=messages,
            max_tokens=tokens,
            sampling=self.profile.answer_sampling or self.profile.sampling,
            grammar=grammar,
        )
        parser = self.format.parser()
        index = len(self.steps) + 1
        async with aclosing(self.engine.generate(request)) as stream:
            async for event in stream:
                match event:
                    case PrefillProgress():
                        yield PromptProgress(step=index, done=event.done, total=event.total)
                    case TokenDelta():
                        for piece in parser.feed(event.text):
                            if piece.kind == "thought":
                                self.final_text += piece.text
                                yield AnswerDelta(text=piece.text)
                        if guards.repeats_itself(self.final_text):
                            break
                    case GenerationFinished():
                        pass
        self.final_text = guards.without_repetition(parser.finish().thought)

    async def _answer_view(self) -> tuple[bool, tuple[Message, ...], int, int]:
        """The messages for the final answer, whether they are passages alone, their tokens and the room behind them.

        The conversation comes with fewer results, then fewer steps, until an answer fits behind it.
        """
        wanted = min(self.profile.answer_tokens, self.budget.output)
        if self.profile.answer_from == "passages":
            # A token is at least one character: whatever the script, so many characters fit.
            limit = max(1, min(3 * self.profile.observation_chars, self.budget.context - self.budget.output) // 2)
            if messages := passages_view(self.task.question, self.steps, limit):
                size = await self.engine.count_tokens(messages)
                room = self.budget.context - self.budget.reserve - size
                if room >= wanted:
                    return True, messages, size, room
        steps = list(self.steps)
        keep = len(context.retained(len(steps) + 1, self.keep, self.block or 0))
        while True:
            view = context.conversation(self.format, self.opening, steps, keep)
            messages = context.with_request(view, self.summary)
            size = await self.engine.count_tokens(messages)
            room = self.budget.context - self.budget.reserve - size
            if room >= wanted or not steps:
                return False, messages, size, max(room, _MIN_ANSWER_TOKENS)
            if keep > 1:
                keep -= 1
            else:
                steps.pop(0)

    # --- small things ---------------------------------------------------------------------------------------------

    def _specs(self, specs: Sequence[ToolSpec]) -> tuple[ToolSpec, ...]:
        only = self.profile.tools
        return tuple(spec for spec in specs if not only or spec.name in only)

    def _offered(self) -> tuple[ToolSpec, ...]:
        """The tools of this turn. The profile may leave out one whose call was just repeated, if there is another."""
        specs = self._specs(self.toolbox.specs())
        withheld = guards.withheld(self.steps) if self.profile.withhold_repeated else ()
        return tuple(spec for spec in specs if spec.name not in withheld) or specs

    def _opening(self) -> tuple[Message, ...]:
        """What every prompt of the run begins with, the same through it, so that its KV cache is reused."""
        specs = self._specs(self.toolbox.all_specs())
        system = self.format.system_prompt(specs, today=self.task.today, compact=self.profile.compact)
        shown = example_messages(self.format, specs, self._request_for_answer, self.profile.examples)
        return (Message(role="system", content=system), *shown, self.format.question(self.task))

    def _request_for_answer(self, question: str) -> str:
        return prompts.summary_request(question, compact=self.profile.compact)

    def _limits(self) -> Limits:
        thought = min(self.profile.thought_tokens, self.budget.output // 2)
        return Limits(
            thought_tokens=thought,
            call_tokens=self.budget.output - thought,
            one_line=self.profile.one_line_thoughts,
        )

    async def _size(self, text: str) -> int:
        return await self.engine.count_tokens((Message(role="tool", content=text),))


def _sum(first: Usage, second: Usage) -> Usage:
    return Usage(
        prompt_tokens=second.prompt_tokens,
        reused_tokens=second.reused_tokens,
        completion_tokens=first.completion_tokens + second.completion_tokens,
        prefill_seconds=first.prefill_seconds + second.prefill_seconds,
        decode_seconds=first.decode_seconds + second.decode_seconds,
    )

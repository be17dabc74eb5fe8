import {
  generateText,
  type TextOutput,
  type TextRequest,
} from '../../engine/generation/generate-text.js';
import { mergeStreams } from '../../engine/generation/merge-streams.js';
import type { AppContext, GenerationRecord } from '../app-context.js';
import { toOctavoError } from '../http/errors.js';
import { notePrompts, noteTimes } from './record.js';
import type { Running } from './run-in-flight.js';
import { sharePromptLogprobs } from './share-prompt-logprobs.js';

/** What is new in one choice. */
export interface ChoiceOutput extends Omit<TextOutput, 'finishReason' | 'times'> {
  readonly index: number;
  readonly finishReason: 'stop' | 'length' | null;
}

/** From now on, the completions of the requests compute no more than their client reads. To be called before they run. */
export function pauseUnread(
  { engine }: AppContext,
  requests: readonly TextRequest[],
  { output }: Running,
): void {
  const ids = requests.flatMap((request) => request.ids);
  output.stream({ pause: () => engine.pause(ids), resume: () => engine.resume(ids) });
}

/** The engine's outputs of all choices as they come, booked in the record. Choices are numbered through all prompts. */
export async function* runRequests(
  context: AppContext,
  requests: readonly TextRequest[],
  arrivedAt: number,
  { controller, output: meter }: Running,
  record: GenerationRecord,
): AsyncGenerator<ChoiceOutput, void> {
  const { engine, metrics, model, clock } = context;
  notePrompts(context, requests, record);
  record.promptTokens = requests.reduce(
    (sum, { promptTokenIds }) => sum + promptTokenIds.length,
    0,
  );
  const { signal } = controller;
  const streams = requests.flatMap((request) => {
    // To the engine crosses what is the engine's.
    const {
      stop,
      namedStops,
      includeStop,
      skipSpecialTokens,
      before,
      promptOnly,
      message,
      ...ofEngine
    } = request;
    const { minTokens, promptTokenIds, promptLogprobs } = ofEngine;
    const shown = {
      stop,
      namedStops,
      includeStop,
      minTokens,
      skipSpecialTokens,
      before,
      promptOnly,
      message,
    };
    const observers = metrics.observe({
      arrivedAt,
      promptTokens: promptTokenIds.length,
      completions: request.ids.length,
      maxTokens: request.maxTokens,
    });
    const outputs = engine.submit(ofEngine, signal, meter);
    const shared =
      promptLogprobs === null ? outputs : sharePromptLogprobs(outputs, promptTokenIds.length);
    return shared.map((completion, i) =>
      generateText(completion, model.tokenizer, shown, observers[i]),
    );
  });
  const firstOfPrompt = new Set<number>();
  for (let index = 0, r = 0; r < requests.length; index += requests[r++].ids.length) {
    firstOfPrompt.add(index);
  }
  for await (const { index, value } of mergeStreams(streams)) {
    const { finishReason, times, ...output } = value;
    if (finishReason === 'abort') {
      record.finishReason = 'abort';
      throw toOctavoError(signal.reason);
    }
    if (output.tokens > 0) record.ttftMs ??= clock.now() - arrivedAt;
    if (times) noteTimes(record, times);
    record.completionTokens += output.tokens;
    record.reasoningTokens += output.reasoningTokens;
    // Once for each prompt, with the first output of its first choice.
    if (firstOfPrompt.delete(index)) record.cachedTokens += output.cachedTokens;
    if (finishReason !== null) {
      record.finishReason = finishReason;
      record.generatedMs = clock.now() - arrivedAt;
    }
    yield { ...output, index, finishReason };
  }
}

/**
 * Waits for the first output, so that what goes wrong before it still has a status of its own: a grammar that cannot be compiled.
 *
 * @throws what goes wrong
 */
export async function untilBegun<Output>(
  outputs: AsyncGenerator<Output, void>,
): Promise<AsyncGenerator<Output, void>> {
  const first = await outputs.next();
  return (async function* () {
    if (first.done === true) return;
    yield first.value;
    yield* outputs;
  })();
}

import { choiceIndex, promptOf } from '../../engine/generation/choice-index.js';
import { generateText } from '../../engine/generation/generate-text.js';
import { mergeStreams } from '../../engine/generation/merge-streams.js';
import type { TextRequest } from '../../engine/generation/text-request.js';
import type { ChoiceDelta } from '../../engine/generation/visible-text.js';
import { toOctavoError } from '../http/errors.js';
import type { ModelService } from '../models.js';
import { type GenerationRecord, notePredicted, notePrompts, noteTimes } from '../request-record.js';
import type { RequestHost, Running } from './run-in-flight.js';

/**
 * From now on, the sequences of the requests compute no more than their client reads. To be called
 * before they run.
 */
export function pauseUnread(
  { engine }: Pick<ModelService, 'engine'>,
  requests: readonly TextRequest[],
  { output }: Running,
): void {
  const ids = requests.flatMap((request) => request.engine.ids);
  output.stream({ pause: () => engine.pause(ids), resume: () => engine.resume(ids) });
}

/** The text of all choices as it comes, booked in the record. */
export async function* runRequests(
  { clock, logPrompts }: RequestHost,
  { engine, metrics, model }: ModelService,
  requests: readonly TextRequest[],
  arrivedAt: number,
  { controller, output: meter, seats }: Running,
  record: GenerationRecord,
): AsyncGenerator<ChoiceDelta, void> {
  const prompts = requests.map((request) => request.engine);
  if (logPrompts) notePrompts(model.tokenizer, prompts, record);
  record.promptTokens = prompts.reduce((sum, { promptTokenIds }) => sum + promptTokenIds.length, 0);
  const { signal } = controller;
  const n = prompts[0].ids.length;
  const choices = requests.flatMap(({ engine: request, text }, prompt) => {
    const observers = metrics.observe({
      arrivedAt,
      promptTokens: request.promptTokenIds.length,
      completions: n,
      maxTokens: request.maxTokens,
    });
    return engine.submit(request, signal, meter).map((outputs, choice) => {
      const index = choiceIndex(prompt, choice, n);
      const own = { index, signal, observer: observers[choice] };
      return generateText(outputs, model.tokenizer, text, own);
    });
  });
  const ids = prompts.flatMap((request) => request.ids);
  const controls = { pause: () => engine.pause(ids), resume: () => engine.resume(ids) };
  seats?.control(controls);
  const begun = new Set<number>();
  try {
    for await (const { value: delta } of mergeStreams(choices)) {
      seats?.control(controls);
      const { tokens, times, predicted, finishReason } = delta;
      if (tokens > 0) record.ttftMs ??= clock.now() - arrivedAt;
      if (times) noteTimes(record, times);
      if (predicted) notePredicted(record, predicted);
      record.completionTokens += tokens;
      record.reasoningTokens += delta.reasoningTokens;
      const prompt = promptOf(delta.index, n);
      if (!begun.has(prompt)) record.cachedTokens += delta.cachedTokens;
      begun.add(prompt);
      if (finishReason !== null) {
        record.finishReason = finishReason;
        record.generatedMs = clock.now() - arrivedAt;
      }
      yield delta;
    }
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
    record.finishReason = 'abort';
    throw toOctavoError(signal.reason);
  }
}

/**
 * Waits for the first output, so that what goes wrong before it still has a status of its own: a
 * grammar that cannot be compiled.
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

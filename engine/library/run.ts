import { setMaxListeners } from 'node:events';
import { byPrompt, choiceIndex, promptOf } from '../generation/choice-index.js';
import { generateText } from '../generation/generate-text.js';
import { mergeStreams } from '../generation/merge-streams.js';
import type { EngineParts } from './engine-parts.js';
import type { GenerateOptions } from './options.js';
import type { PromptPlan } from './prompts.js';
import { CLIENT, textRequest } from './requests.js';
import { type ChoicePart, OutputCollector } from './results.js';

const UNOBSERVED = { output: () => undefined, end: () => undefined };

/**
 * Runs all choices of all prompts at once.
 *
 * @returns `[prompt][choice]`; new output is yielded before, as it is generated
 * @throws OctavoError what the engine throws, or the reason of an aborted signal
 */
export async function* runPrompts(
  { prompts, checks }: PromptPlan,
  options: GenerateOptions & { readonly n?: number },
  parts: EngineParts,
): AsyncGenerator<ChoicePart, OutputCollector[][]> {
  const { port, model, grammars } = parts;
  const { n = 1 } = options;
  const requests = prompts.map((prompt) => textRequest(prompt, options, parts));
  const collectors = prompts.flatMap(({ tokenIds, newCallId }) => {
    const promptTokens = tokenIds.length;
    const hasLogprobs = options.logprobs !== undefined;
    const own = { promptTokens, newCallId, tokenizer: model.tokenizer, hasLogprobs };
    return Array.from({ length: n }, () => new OutputCollector(own));
  });
  const work = beginWork(options.signal);
  const { signal } = work;
  try {
    signal.throwIfAborted();
    await grammars.check(checks, CLIENT, signal);
    const streams = requests.flatMap(({ engine, text }, prompt) =>
      port.submit(engine, signal).map((outputs, choice) => {
        const context = { index: choiceIndex(prompt, choice, n), signal, observer: UNOBSERVED };
        return generateText(outputs, model.tokenizer, text, context);
      }),
    );
    for await (const { value: delta } of mergeStreams(streams)) {
      const { index } = delta;
      const prompt = promptOf(index, n);
      const part = collectors[index].take(delta);
      if (part) yield { prompt, choice: index - choiceIndex(prompt, 0, n), ...part };
    }
    return byPrompt(collectors, n);
  } finally {
    work.end();
  }
}

/**
 * Work that ends with the caller's signal, or when its reader leaves. The caller must end it in any
 * case.
 */
export function beginWork(given: AbortSignal | undefined): {
  readonly signal: AbortSignal;
  readonly end: () => void;
} {
  const own = new AbortController();
  // Each sequence adds a listener, so many are no leak.
  setMaxListeners(0, own.signal);
  const abort = (): void => own.abort(given?.reason);
  if (given?.aborted) abort();
  given?.addEventListener('abort', abort, { once: true });
  return {
    signal: own.signal,
    end: () => {
      given?.removeEventListener('abort', abort);
      own.abort();
    },
  };
}

import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { PLAIN_REQUEST } from '../../engine/core/protocol.js';
import { OctavoError } from '../../engine/errors.js';
import type { RequestId } from '../../scheduler/ids.js';
import type { Settings } from '../config/settings.js';
import { generateText, PLAIN_TEXT } from '../generation/generate-text.js';
import { outputBudget } from '../generation/plan.js';
import { checkVocabulary } from '../text/check-model.js';
import { loadServedModel, type ServedModel } from '../text/served-model.js';
import { createWorkerEngine } from '../worker-engine.js';
import { conversionProgress } from './conversion-progress.js';
import { engineOptions, servedModelFiles } from './engine-options.js';

export interface GenerateOptions {
  readonly maxTokens: number | null;
  readonly temperature: number | null;
  readonly seed: number | null;
  /** The prompt is continued as it stands, without the chat template. */
  readonly raw: boolean;
}

const INTERRUPTED = 130;

/** As a shell shows a program that a broken pipe has ended: 128 plus SIGPIPE. */
const BROKEN_PIPE = 141;

/**
 * `octavo generate`: streams one completion to stdout. Ctrl-C ends it after what has been printed, and so does a reader who has enough
 * (`octavo generate ... | head`).
 *
 * @returns the exit code
 */
export async function generate(
  prompt: string,
  options: GenerateOptions,
  settings: Settings,
): Promise<number> {
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  const { dir: modelDir, names } = await servedModelFiles(settings, log);
  const model = await loadServedModel(modelDir, names, {
    chatTemplate: settings.chatTemplate ?? null,
  });
  const promptTokenIds = encode(prompt, options.raw, model);
  const progress = conversionProgress(process.stderr, log);
  const engine = await createWorkerEngine(engineOptions(settings, modelDir), progress);
  const controller = new AbortController();
  const interrupt = (): void => controller.abort();
  process.once('SIGINT', interrupt);
  let unwritten: NodeJS.ErrnoException | null = null;
  process.stdout.on('error', (error) => {
    unwritten ??= error;
    controller.abort();
  });
  try {
    const { maxModelLength: context, vocabSize } = engine.info;
    checkVocabulary(modelDir, model, vocabSize);
    const request = {
      ids: ['generate' as RequestId],
      promptTokenIds,
      maxTokens: outputBudget({
        promptTokens: promptTokenIds.length,
        asked: options.maxTokens,
        standard: model.defaultMaxTokens ?? context,
        context,
        param: 'prompt',
      }),
      stopTokenIds: model.eosTokenIds,
      ...PLAIN_REQUEST,
      sampling: {
        logitBias: [],
        ...model.defaultSampling,
        temperature: options.temperature ?? model.defaultSampling.temperature,
        seed: options.seed ?? randomInt(2 ** 32),
      },
    };
    const observer = { output: () => undefined, end: () => undefined };
    const rate = new Rate();
    const [tokens] = engine.submit(request, controller.signal);
    const shown = { ...PLAIN_TEXT, before: options.raw ? promptTokenIds : [] };
    const outputs = generateText(tokens, model.tokenizer, shown, observer);
    for await (const { text, tokens: count } of outputs) {
      rate.add(count);
      if (text === '' || process.stdout.write(text)) continue;
      // An error has been noted by then.
      await once(process.stdout, 'drain').catch(() => undefined);
    }
    if (unwritten !== null) return brokenOutput(unwritten);
    process.stdout.write('\n');
    if (process.stderr.isTTY) process.stderr.write(`${rate.summary()}\n`);
    return controller.signal.aborted ? INTERRUPTED : 0;
  } finally {
    process.off('SIGINT', interrupt);
    await engine.close();
  }
}

/** @throws what kept the text from being written, unless its reader has left */
function brokenOutput(error: NodeJS.ErrnoException): number {
  if (error.code === 'EPIPE') return BROKEN_PIPE;
  throw error;
}

function encode(
  prompt: string,
  raw: boolean,
  model: ServedModel,
): ReturnType<ServedModel['tokenizer']['encode']> {
  if (raw) return model.tokenizer.encode(prompt, { addSpecialTokens: true });
  if (model.chatTemplate === null) {
    throw new OctavoError(
      'usage',
      'the model has no chat template: give --raw, or one by --chat-template',
    );
  }
  const text = model.chatTemplate.render([{ role: 'user', content: prompt }]);
  return model.tokenizer.encode(text, { addSpecialTokens: false });
}

/** Tokens per second, from the first token on: the prompt's time would blur it. */
class Rate {
  readonly #startedAt = performance.now();
  #firstAt: number | null = null;
  #tokens = 0;

  add(tokens: number): void {
    if (tokens > 0) this.#firstAt ??= performance.now();
    this.#tokens += tokens;
  }

  summary(): string {
    const now = performance.now();
    const first = this.#firstAt ?? now;
    const seconds = (now - first) / 1000;
    const rate = seconds > 0 ? ((this.#tokens - 1) / seconds).toFixed(1) : '-';
    const wait = Math.round(first - this.#startedAt);
    return `${this.#tokens} tokens, ${rate} tokens/s, first after ${wait} ms`;
  }
}

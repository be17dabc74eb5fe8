import { randomInt } from 'node:crypto';
import { engineOptions } from '../../engine/client/engine-options.js';
import { createWorkerEngine } from '../../engine/client/worker-engine.js';
import { OctavoError } from '../../engine/errors.js';
import { generateText, PLAIN_TEXT } from '../../engine/generation/generate-text.js';
import { outputBudget } from '../../engine/generation/output-budget.js';
import { PLAIN_REQUEST } from '../../engine/protocol/request.js';
import type { TemplateMessage } from '../../engine/text/chat-template.js';
import { checkVocabulary } from '../../engine/text/check-model.js';
import { encodePrompt, loadServedModel, type ServedModel } from '../../engine/text/served-model.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { AnswerOptions } from '../config/generate-flags.js';
import { warnOfUnknownVariables } from '../config/load-settings.js';
import type { Settings } from '../config/settings.js';
import { conversionProgress } from './progress-bar.js';
import { servedModelFiles } from './served-model-files.js';

type WorkerEngine = Awaited<ReturnType<typeof createWorkerEngine>>;

/** An answer, with figures for the line after it. */
export interface Answer {
  readonly text: string;
  /** Number of tokens, tokens per second, and time to the first token. */
  readonly summary: string;
}

/** A model in this process, without a server: for `octavo generate` and `octavo chat`. */
export class LocalModel {
  readonly #model: ServedModel;
  readonly #engine: WorkerEngine;
  #answers = 0;

  private constructor(model: ServedModel, engine: WorkerEngine) {
    this.#model = model;
    this.#engine = engine;
  }

  /**
   * @param log receives progress and warnings, one line at a time
   * @throws OctavoError for errors of the model or the settings
   */
  static async load(settings: Settings, log: (line: string) => void): Promise<LocalModel> {
    warnOfUnknownVariables(process.env, (line) => log(`octavo: ${line}`));
    const { dir, names } = await servedModelFiles(settings, log);
    const model = await loadServedModel(dir, names, {
      chatTemplate: settings.chatTemplate ?? null,
      allowSpecialTokens: settings.allowSpecialTokens,
    });
    const progress = conversionProgress(process.stderr, log);
    const engine = await createWorkerEngine(engineOptions(settings, dir), {
      onConversion: progress,
    });
    try {
      checkVocabulary(dir, model, engine.info.vocabSize);
    } catch (error) {
      await engine.close();
      throw error;
    }
    return new LocalModel(model, engine);
  }

  get name(): string {
    return this.#model.names[0];
  }

  get context(): number {
    return this.#engine.info.maxModelLength;
  }

  /** The tokens of a text that is continued without a chat template. */
  encode(text: string): readonly TokenId[] {
    return this.#model.tokenizer.encode(text, { addSpecialTokens: true });
  }

  /** @throws OctavoError `usage` when the model has no chat template */
  encodeChat(messages: readonly TemplateMessage[]): readonly TokenId[] {
    const { chatTemplate } = this.#model;
    if (chatTemplate === null) {
      throw new OctavoError(
        'usage',
        'the model has no chat template: give one by --chat-template, or continue a text by generate --raw',
      );
    }
    return encodePrompt(chatTemplate.renderPrompt(messages), this.#model);
  }

  /**
   * Generates until the model ends, the token limit is reached, or the signal is aborted.
   *
   * @param before prompt tokens that the text continues; empty for an answer
   * @param write called with each piece; the next is computed meanwhile, and read after this call
   *   resolves
   * @throws OctavoError `context_length_exceeded`, `invalid_request` for a grammar, and what the
   *   engine throws
   */
  async answer(
    promptTokenIds: readonly TokenId[],
    before: readonly TokenId[],
    options: AnswerOptions,
    signal: AbortSignal,
    write: (text: string) => Promise<void>,
  ): Promise<Answer> {
    const model = this.#model;
    const { defaultSampling } = model;
    const request = {
      ids: [`local-${this.#answers++}` as SequenceId],
      promptTokenIds,
      maxTokens: outputBudget({
        promptTokens: promptTokenIds.length,
        asked: options.maxTokens,
        standard: model.defaultMaxTokens ?? this.context,
        context: this.context,
        param: 'prompt',
      }),
      stopTokenIds: model.eosTokenIds,
      ...PLAIN_REQUEST,
      grammar: options.grammar,
      eosTokenIds: model.eosTokenIds,
      sampling: {
        logitBias: [],
        ...defaultSampling,
        temperature: options.temperature ?? defaultSampling.temperature,
        seed: options.seed ?? randomInt(2 ** 32),
      },
    };
    const rate = new Rate();
    const [tokens] = this.#engine.submit(request, signal);
    const outputs = generateText(
      tokens,
      model.tokenizer,
      { ...PLAIN_TEXT, prefixTokenIds: before },
      { index: 0, signal, observer: UNOBSERVED },
    );
    let whole = '';
    try {
      for await (const { text, tokens: count } of outputs) {
        rate.add(count);
        whole += text;
        if (text !== '') await write(text);
      }
    } catch (error) {
      if (!signal.aborted || error !== signal.reason) throw error;
    }
    return { text: whole, summary: rate.summary() };
  }

  close(): Promise<void> {
    return this.#engine.close();
  }
}

const UNOBSERVED = { output: () => undefined, end: () => undefined };

/** Tokens per second from the first token on, without the time of the prompt. */
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

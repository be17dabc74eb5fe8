import { OctavoError } from '../../engine/errors.js';
import {
  type CreateEngineOptions,
  createEngine,
  type GenerateOptions,
  type Message,
  type OctavoEngine,
} from '../../engine/index.js';
import { partsOf } from '../../engine/library/octavo-engine.js';
import { ENGINE_SETTINGS } from '../../engine/settings.js';
import { warnOfUnknownVariables } from '../config/load-settings.js';
import type { Settings } from '../config/settings.js';
import { progressBar } from './progress-bar.js';
import { servedModelFiles } from './served-model-files.js';

/** An answer, with figures for the line after it. */
export interface ShownAnswer {
  readonly text: string;
  /** Number of tokens, tokens per second, and time to the first token. */
  readonly summary: string;
}

/** The library's engine for `octavo generate` and `octavo run`: writes answers as they come. */
export class LocalModel {
  readonly #engine: OctavoEngine;

  private constructor(engine: OctavoEngine) {
    this.#engine = engine;
  }

  /**
   * @param log receives progress and warnings, one line at a time
   * @throws OctavoError for errors of the model or the settings
   */
  static async load(settings: Settings, log: (line: string) => void): Promise<LocalModel> {
    const options = await engineOptions(settings, log);
    // All that the model writes is shown, its reasoning too.
    return new LocalModel(await createEngine({ ...options, reasoningParser: 'none' }));
  }

  get name(): string {
    return this.#engine.model;
  }

  /** One line for people. */
  get about(): string {
    return `model: ${this.name}, ${this.#engine.contextLength} tokens of context`;
  }

  /** @throws OctavoError `usage` when the model has no chat template */
  assertHasTemplate(): void {
    if (partsOf(this.#engine).model.chatTemplate !== null) return;
    throw new OctavoError(
      'usage',
      'the model has no chat template: give one by --chat-template, or continue a text by generate --raw',
    );
  }

  /**
   * Answers a conversation, or continues a text, until the model ends, the token limit is reached,
   * or the signal is aborted.
   *
   * @param input messages, or a text that is continued without a chat template
   * @param write called with each piece; the next is computed meanwhile, and read after this call
   *   resolves
   * @throws OctavoError as `OctavoEngine.chat`
   */
  async answer(
    input: readonly Message[] | string,
    options: GenerateOptions,
    signal: AbortSignal,
    write: (text: string) => Promise<void>,
  ): Promise<ShownAnswer> {
    const engine = this.#engine;
    const asked = { ...options, signal };
    const parts =
      typeof input === 'string' ? engine.generate(input, asked) : engine.chat(input, asked);
    const rate = new Rate();
    let whole = '';
    try {
      for await (const { text, tokens } of parts) {
        rate.add(tokens);
        whole += text;
        await write(text);
      }
    } catch (error) {
      if (!signal.aborted || error !== signal.reason) throw byFlag(error);
    }
    return { text: whole, summary: rate.summary() };
  }

  close(): Promise<void> {
    return this.#engine.close();
  }
}

/**
 * How the library's engine is created for a command: its model is there, with progress on stderr.
 *
 * @param log receives progress and warnings, one line at a time
 * @throws OctavoError for errors of the model or the settings
 */
export async function engineOptions(
  settings: Settings,
  log: (line: string) => void,
): Promise<CreateEngineOptions> {
  warnOfUnknownVariables(process.env, (line) => log(`octavo: ${line}`));
  const { dir, file, names } = await servedModelFiles(settings, log);
  return {
    ...engineSettings(settings),
    model: dir,
    ...(file !== undefined && { file }),
    servedModelName: names,
    progress: progressBar(process.stderr, log),
  };
}

/** Flags by the library's option that they become. */
const FLAGS: Readonly<Record<string, string>> = {
  responseFormat: '--json-schema',
  adapter: '--adapter',
};

/** Names the flag in an error about an option. */
function byFlag(error: unknown): unknown {
  if (!(error instanceof OctavoError)) return error;
  const { kind, param, message } = error;
  const flag = param && FLAGS[param];
  if (!flag || !message.startsWith(param)) return error;
  return new OctavoError(kind, flag + message.slice(param.length), { param: flag, cause: error });
}

/** Those of the settings that an engine has, but for the model, which was found. */
function engineSettings(settings: Settings): CreateEngineOptions {
  const names = Object.keys(ENGINE_SETTINGS) as (keyof typeof ENGINE_SETTINGS)[];
  const others = names.filter((name) => name !== 'model' && name !== 'file');
  return Object.fromEntries(others.map((name) => [name, settings[name]]));
}

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

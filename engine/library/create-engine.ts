import { startModel } from '../client/start-model.js';
import { embeddedModelDir } from '../environment/package-root.js';
import { MessageForms } from '../generation/message-form.js';
import { GrammarChecker } from '../grammar/grammar-checker.js';
import { findModel } from '../hub/find-model.js';
import { ENGINE_SETTINGS, type EngineSettings } from '../settings.js';
import { checkVocabulary, warningsOf } from '../text/check-model.js';
import { createPrompts } from '../vision/create-prompts.js';
import { OctavoEngine } from './octavo-engine.js';
import { checkOptions } from './options.js';

/**
 * Options of an engine: the settings of the flags (docs/flags.md) in camel case, with the same
 * defaults.
 */
export interface CreateEngineOptions
  extends Partial<Omit<EngineSettings, 'servedModelName' | 'speculativeConfig'>> {
  /** Names of the model; default: its directory's name, or its name on the hub. */
  readonly servedModelName?: string | readonly string[];
  /** As JSON, like the flag, or as an object: `{ method: 'ngram' }`. */
  readonly speculativeConfig?: string | Readonly<Record<string, unknown>>;
  /** Receives progress and warnings, one line at a time. Default: nothing is logged. */
  readonly log?: (line: string) => void;
  /** Receives the bytes done and in total of long work: a download, or rewriting weights. */
  readonly progress?: (what: string, done: number, total: number) => void;
}

const ignore = (): void => undefined;

/**
 * Loads a model and starts its engine in separate threads.
 *
 *     await using engine = await createEngine();
 *     const messages = [{ role: 'user', content: 'Hello' }];
 *     for await (const { text } of engine.chat(messages)) process.stdout.write(text);
 *
 * @param options `model` is a directory or file, or `owner/name[@revision][:quantization]` on the
 *   hub; absent: the embedded octavo-tiny
 * @throws OctavoError when the model cannot be served, or an option is not allowed
 */
export async function createEngine(options: CreateEngineOptions = {}): Promise<OctavoEngine> {
  const { log = ignore, progress = ignore, ...given } = options;
  const settings = engineSettings(given);
  const found = await findModel(settings.model ?? embeddedModelDir(), 'model', settings, {
    log,
    progress,
  });
  const { dir, names } = found;
  const { servedModelName: asked } = settings;
  const { engine: port, model } = await startModel(found, {
    names: asked.length > 0 ? asked : names,
    settings,
    download: { log, progress },
    say: log,
    onConversion: progress,
    onNote: log,
    onWarning: log,
    onFailure: (error) => log(`the engine has failed: ${error.message}`),
    onRestartFailed: (error) => log(`the engine cannot be restarted: ${String(error)}`),
  });
  try {
    const { encoder, vocabSize, modelNotes = [] } = port.info;
    if (!encoder) checkVocabulary(dir, model, vocabSize);
    const notes = [...modelNotes, ...(encoder ? [] : warningsOf(model, vocabSize))];
    for (const note of notes) log(note);
    const forms = new MessageForms(model, settings);
    const prompts = await createPrompts(model, found, settings, port.info, log);
    const grammars = new GrammarChecker();
    return new OctavoEngine({ port, model, forms, prompts, grammars, settings });
  } catch (error) {
    await port.close();
    throw error;
  }
}

type Given = Omit<CreateEngineOptions, 'log' | 'progress'>;

/** @throws OctavoError `invalid_request`: names the option and what is allowed */
function engineSettings(given: Given): EngineSettings & { readonly kvMetricsSampleRate: number } {
  const { servedModelName = [], speculativeConfig: drafts, ...others } = given;
  const set = {
    ...others,
    servedModelName: typeof servedModelName === 'string' ? [servedModelName] : servedModelName,
    speculativeConfig: typeof drafts === 'object' ? JSON.stringify(drafts) : drafts,
  };
  checkOptions(set, ENGINE_SETTINGS);
  const settings: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(ENGINE_SETTINGS)) {
    const value =
      (set as Record<string, unknown>)[name] ?? (schema as { default?: unknown }).default;
    if (value !== undefined) settings[name] = value;
  }
  return { ...(settings as EngineSettings), kvMetricsSampleRate: 0 };
}

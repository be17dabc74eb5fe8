import { type ModelKind, modelKindOf } from '../encoder/model-kind.js';
import type { FetchObserver } from '../hub/fetch-model.js';
import { findDraftModelFor } from '../hub/find-draft-model.js';
import type { FoundModel } from '../hub/find-model.js';
import { modelFilesAt } from '../model/open-model.js';
import { loadServedModel, type ServedModel } from '../text/served-model.js';
import { restartOptions, type StartSettings } from './engine-options.js';
import { RestartingEngine, type RestartingEngineOptions } from './restarting-engine.js';
import { type StartedOnDevice, startOnDevice } from './start-on-device.js';
import {
  createWorkerEngine,
  type WorkerEngineListeners,
  type WorkerEngineOptions,
} from './worker-engine.js';

export interface ModelStart
  extends WorkerEngineListeners,
    Pick<RestartingEngineOptions, 'onFailure' | 'onRestartFailed'> {
  /** Names that the model is served under; empty: its directory's. */
  readonly names: readonly string[];
  readonly settings: StartSettings;
  /** Shows how a draft model is fetched. */
  readonly download: FetchObserver;
  /** Receives on which device the engine starts, one line. */
  readonly say: (line: string) => void;
}

export interface StartedModel {
  readonly engine: RestartingEngine;
  /** The model's text side. */
  readonly model: ServedModel;
  /** With which the engine was started. */
  readonly options: WorkerEngineOptions;
}

/**
 * Starts the engine of a model in its thread. Meanwhile, this thread reads the model's text side: a
 * tokenizer with many tokens takes as long as the files of a small model.
 *
 * @throws OctavoError why the model cannot be served; of two reasons, that of the text side
 */
export async function startModel(found: FoundModel, start: ModelStart): Promise<StartedModel> {
  const { names, settings } = start;
  let reading: Promise<ServedModel> | null = null;
  const text = (): Promise<ServedModel> => {
    reading ??= loadServedModel(found.dir, names, {
      chatTemplate: settings.chatTemplate ?? null,
      allowSpecialTokens: settings.allowSpecialTokens,
    });
    return reading;
  };
  const ending = new AbortController();
  const kind = await modelKindOf(modelFilesAt(found, settings.dtype)).catch(
    async (error: unknown) => {
      await text();
      throw error;
    },
  );
  // First the thread is created: a tokenizer that is being built would keep it from beginning.
  const starting = startEngine(found, kind, start, text, ending.signal);
  // It is awaited below; until then, its error is not an unhandled one.
  starting.catch(() => undefined);
  try {
    const model = await text();
    const { engine, options } = await starting;
    const { onFailure, onRestartFailed } = start;
    const restarting = new RestartingEngine(engine, {
      create: (adapters) => createWorkerEngine(restartOptions(options, adapters), start),
      restarts: 1,
      onFailure,
      onRestartFailed,
    });
    return { engine: restarting, model, options };
  } catch (error) {
    ending.abort();
    await starting.then(
      ({ engine }) => engine.close(),
      () => undefined,
    );
    throw error;
  }
}

/** @param text is asked for where a draft model must have the same tokens */
async function startEngine(
  found: FoundModel,
  kind: ModelKind,
  start: ModelStart,
  text: () => Promise<ServedModel>,
  signal: AbortSignal,
): Promise<StartedOnDevice> {
  const { settings, download, say } = start;
  const draft =
    kind === 'decoder' ? await findDraftModelFor(text, settings.speculativeConfig, download) : null;
  const begin = (options: WorkerEngineOptions) => createWorkerEngine(options, start, signal);
  return startOnDevice(settings, { ...found, draft }, { start: begin, kind, say });
}

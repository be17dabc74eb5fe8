import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { RestartingEngine } from '../../engine/client/restarting-engine.js';
import { startModel } from '../../engine/client/start-model.js';
import type { WorkerEngineOptions } from '../../engine/client/worker-engine.js';
import { modelKindOf } from '../../engine/encoder/model-kind.js';
import { availableMemory } from '../../engine/environment/available-memory.js';
import type { PromptMaker } from '../../engine/generation/prompts/prompt-maker.js';
import type { GrammarChecker } from '../../engine/grammar/grammar-checker.js';
import { removalOf, remove } from '../../engine/hub/cached-models.js';
import type { FetchObserver } from '../../engine/hub/fetch-model.js';
import { findDraftModel } from '../../engine/hub/find-draft-model.js';
import { type FoundModel, findModel } from '../../engine/hub/find-model.js';
import { parseHubId } from '../../engine/hub/hub-id.js';
import { readHubSettings } from '../../engine/hub/hub-settings.js';
import { CHOICE } from '../../engine/importer/quantize/choose-kind.js';
import type { ConversionProgress } from '../../engine/importer/quantize/progress.js';
import { contentFiles, type ModelFiles, modelFilesAt } from '../../engine/model/open-model.js';
import { checkVocabulary, warningsOf } from '../../engine/text/check-model.js';
import type { ServedModel } from '../../engine/text/served-model.js';
import { DRAFTS } from '../../engine/thread/engine-sizes.js';
import { createPrompts } from '../../engine/vision/create-prompts.js';
import type { CacheEvent } from '../../kvcache/cache-events.js';
import type { Settings } from '../config/settings.js';
import { cacheLine } from './cache-line.js';
import { tooLargeLine } from './fit.js';
import type { ModelSpec } from './model-list.js';
import type { DownloadProgress, ModelSize, ModelSource, OwnedParts } from './model-source.js';

export interface Surroundings {
  readonly settings: Settings;
  readonly logger: Logger;
  readonly grammars: GrammarChecker;
  /** Shows downloads. */
  readonly download: FetchObserver;
  /** Shows how weights are rewritten. */
  readonly conversion: ConversionProgress;
  /** Receives changes of prefix caches; null: they are not read. */
  readonly onCacheEvents: ((events: readonly CacheEvent[]) => void) | null;
}

/** A model on this machine, or of the hub, which is fetched first. */
export function localModel(spec: ModelSpec, surroundings: Surroundings): ModelSource {
  const { settings, download } = surroundings;
  const isHere = existsSync(spec.model);
  const id = isHere ? null : parseHubId(spec.model);
  let found: Promise<FoundModel> | null = null;
  let dir: string | null = null;
  /** Who wants to see a download that runs: they share it. */
  const watchers = new Set<DownloadProgress>();
  const observer: FetchObserver = {
    log: (line) => download.log(line),
    progress: (...file) => {
      download.progress(...file);
      for (const watch of watchers) watch(...file);
    },
  };
  const find = async (): Promise<FoundModel> => {
    found ??= findModel(spec.model, spec.flag, settings, observer);
    try {
      const model = await found;
      ({ dir } = model);
      return model;
    } catch (error) {
      found = null;
      throw error;
    }
  };
  const measure = async (onProgress?: DownloadProgress): Promise<ModelSize> => {
    if (onProgress) watchers.add(onProgress);
    try {
      const model = await find();
      const kind = await modelKindOf(modelFilesAt(model, settings.dtype));
      const weightBytes = await sizeOf(modelFilesAt(model, settings.dtype));
      // An encoder keeps no cache, and drafts nothing.
      const others =
        kind === 'encoder' ? 0 : settings.kvCacheMemory + (await draftBytes(settings, observer));
      return { bytes: weightBytes + others, path: model.dir };
    } finally {
      if (onProgress) watchers.delete(onProgress);
    }
  };
  return {
    names: spec.names,
    places: () => [dir ?? [], spec.model].flat(),
    measure,
    known: async () => (dir !== null || isHere ? find() : null),
    load: async () => {
      const { bytes } = await measure();
      return { ...(await start(await find(), spec, surroundings)), bytes };
    },
    ...(id && {
      remove: async () => {
        const { cacheDir } = await readHubSettings(process.env);
        await remove(await removalOf(cacheDir, id.repo, null));
        [found, dir] = [null, null];
      },
    }),
  };
}

/** Bytes of the files that a model's weights are in. */
async function sizeOf(model: ModelFiles): Promise<number> {
  const files = await contentFiles(model);
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** The same of the draft model; 0 where there is none. */
async function draftBytes(
  { speculativeConfig }: Settings,
  observer: FetchObserver,
): Promise<number> {
  const draft = await findDraftModel(speculativeConfig, observer);
  if (!draft) return 0;
  return sizeOf(modelFilesAt(draft, 'auto'));
}

async function start(
  found: FoundModel,
  { names }: ModelSpec,
  { settings, logger, grammars, download, conversion, onCacheEvents }: Surroundings,
): Promise<Omit<OwnedParts, 'bytes'>> {
  const { dir } = found;
  const problem = await tooLargeLine(found, settings);
  if (problem !== null) logger.warn(problem);
  const { engine, model, options } = await startModel(found, {
    names,
    settings,
    download,
    say: (line) => logger.info(`octavo: ${line}`),
    onConversion: conversion,
    onNote: (line) => logger.info(`octavo: ${line}`),
    onWarning: (line) => logger.warn(`octavo: ${line}`),
    onFailure: (error) => logger.error({ err: error, model: names[0] }, 'the engine has failed'),
    onRestartFailed: (error) =>
      logger.error({ err: error, model: names[0] }, 'the engine cannot be restarted'),
  });
  if (onCacheEvents) engine.onCacheEvents(onCacheEvents);
  let prompts: PromptMaker;
  try {
    if (engine.info.encoder) describeEncoder(engine, logger);
    else {
      checkVocabulary(dir, model, engine.info.vocabSize);
      describe(engine, model, options, settings, logger);
    }
    prompts = await createPrompts(model, found, settings, engine.info, (line) =>
      logger.info(`octavo: ${line}`),
    );
  } catch (error) {
    await engine.close();
    throw error;
  }
  const close = async (): Promise<void> => {
    await prompts.close();
    await engine.close();
    onCacheEvents?.([{ type: 'cleared' }]);
  };
  return { engine, model, prompts, grammars, settings, close };
}

/** The same of an encoder. Of its tokenizer's tokens, a request is refused that has alien ones. */
function describeEncoder({ info }: RestartingEngine, logger: Logger): void {
  const { encoder, hiddenSize, maxModelLength, modelNotes = [] } = info;
  const gives = encoder?.task === 'score' ? 'scores of pairs' : 'vectors';
  logger.info(
    `octavo: encoder: ${gives} of ${hiddenSize}, texts of at most ${maxModelLength} tokens, no KV cache`,
  );
  for (const note of modelNotes) logger.info(`octavo: model: ${note}`);
}

/** What the log says of a model that was loaded. */
function describe(
  { info }: RestartingEngine,
  model: ServedModel,
  asked: WorkerEngineOptions,
  settings: Settings,
  logger: Logger,
): void {
  const { maxNumBatchedTokens, vocabSize, modelNotes = [] } = info;
  logger.info(`octavo: ${cacheLine(settings, info, availableMemory())}`);
  const [variant, ...rewrites] = modelNotes;
  if (variant !== undefined) logger.info(`octavo: model: ${variant}`);
  for (const note of rewrites) {
    const isNews = note.startsWith(CHOICE) || note.startsWith(DRAFTS);
    if (isNews) logger.info(`octavo: ${note}`);
    else logger.debug(`octavo: model: ${note}`);
  }
  if (maxNumBatchedTokens < asked.maxNumBatchedTokens) {
    logger.warn(
      `octavo: steps of at most ${maxNumBatchedTokens} tokens: the model's rotary tables are no longer`,
    );
  }
  for (const warning of warningsOf(model, vocabSize)) logger.warn(`octavo: ${warning}`);
}

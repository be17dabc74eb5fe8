import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { EngineOptions } from '../../engine/protocol/options.js';
import type { SequenceOutput } from '../../engine/protocol/outputs.js';
import type { EngineRequest } from '../../engine/protocol/request.js';
import {
  type EngineSurroundings,
  type LoadedEngine,
  loadEngine,
} from '../../engine/thread/load-engine.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import { plainRequest } from './plain-request.js';
import { UncutModel } from './uncut-model.js';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const MODEL_DIR = path('../../models/octavo-tiny');

/** Prompts of 5 to 1,500 tokens, from the golden file. */
export function goldenPrompts(): TokenId[][] {
  const file = path('../fixtures/octavo-tiny/generations.json');
  const goldens = JSON.parse(readFileSync(file, 'utf8')) as { readonly prompt: TokenId[] }[];
  return goldens.map(({ prompt }) => prompt);
}

/** An engine of the embedded model. */
export function loadTiny(
  options: Partial<EngineOptions> = {},
  surroundings: EngineSurroundings = {},
): Promise<LoadedEngine> {
  const all: EngineOptions = {
    modelDir: MODEL_DIR,
    maxNumSeqs: 16,
    maxNumBatchedTokens: 512,
    blockSize: 16,
    kvCacheBytes: 64 * 2 ** 20,
    maxModelLength: null,
    threads: 2,
    enablePrefixCaching: true,
    evictionPolicy: 'lru',
    schedulingPolicy: 'fcfs',
    longPrefillThreshold: 0,
    kvMetricsSampleRate: 0,
    ...options,
  };
  return loadEngine(all, surroundings);
}

/** The embedded model's file, uncut. */
export function openUncutTiny(): Promise<UncutModel> {
  return UncutModel.open(MODEL_DIR, 2, 32);
}

export function tinyRequest(
  ids: string | readonly string[],
  promptTokenIds: readonly TokenId[],
  more: Partial<EngineRequest> = {},
): EngineRequest {
  const list = (typeof ids === 'string' ? [ids] : ids) as readonly SequenceId[];
  return plainRequest({ ids: list, promptTokenIds, maxTokens: 8, ...more });
}

/** Runs requests to their end, all at once. @returns every sequence's outputs */
export async function runAll(
  { core }: Pick<LoadedEngine, 'core'>,
  requests: readonly EngineRequest[],
): Promise<Map<string, SequenceOutput[]>> {
  const outputs = new Map<string, SequenceOutput[]>();
  for (const request of requests) {
    core.add(request);
    for (const id of request.ids) outputs.set(id, []);
  }
  while (core.hasWork) {
    const stepped = await core.step();
    for (const output of stepped ?? []) outputs.get(output.id)?.push(output);
    if (!stepped) await core.whenReady();
  }
  return outputs;
}

export const tokensOf = (outputs: readonly SequenceOutput[] | undefined): TokenId[] =>
  (outputs ?? []).flatMap(({ tokenIds }) => tokenIds);

import { readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { modelKindOf } from '../../engine/encoder/model-kind.js';
import { availableMemory } from '../../engine/environment/available-memory.js';
import type { FoundModel } from '../../engine/hub/find-model.js';
import type { Quantization } from '../../engine/importer/quantize/quantization.js';
import { type MemoryNeeds, memoryNeeds } from '../../engine/model/memory-needs.js';
import { contentFiles, modelFilesAt } from '../../engine/model/open-model.js';
import type { Settings } from '../config/settings.js';
import { shortSize } from './short-size.js';

/** Of the process besides weights and cache: code, buffers of a step, what waits for clients. */
const PROCESS_BYTES = 300e6;

export const needsOf = (found: FoundModel, settings: Settings): Promise<MemoryNeeds> =>
  memoryNeeds(modelFilesAt(found, settings.dtype), {
    quantize: settings.quantize,
    nbits: settings.quantizeNbits,
    kvDtype: settings.kvDtype ?? 'f32',
  });

/** What a model takes beside what there is, in one line; and whether that suffices. */
export function fitOf(
  { weightBytes }: Pick<MemoryNeeds, 'weightBytes'>,
  { kvCacheMemory }: Pick<Settings, 'kvCacheMemory'>,
  { bytes, isLimited } = availableMemory(),
): { readonly line: string; readonly fits: boolean } {
  const needed = weightBytes + kvCacheMemory + PROCESS_BYTES;
  const whose = isLimited ? "the cgroup's limit is" : 'the machine has';
  const line =
    `about ${shortSize(needed)}: ${shortSize(weightBytes)} of weights, ` +
    `${shortSize(kvCacheMemory)} of KV cache, ${shortSize(PROCESS_BYTES)} else; ${whose} ${shortSize(bytes)}`;
  return { line, fits: needed <= bytes };
}

/** What to take instead of a quantization that does not fit. */
const SMALLER: Readonly<Record<Quantization, string>> = {
  none: '--quantize auto, q8 or q4',
  w8a8: '--quantize q4',
  q8: '--quantize q4',
  q4: 'a smaller model',
  auto: 'a smaller model',
};

/**
 * A line for a model that takes more memory than there is, before it is loaded; null for others,
 * and for those whose graph cannot be read, which loading reports better.
 */
export async function tooLargeLine(found: FoundModel, settings: Settings): Promise<string | null> {
  if (settings.device !== 'cpu' || (await isSmall(found, settings))) return null;
  // Its weights alone are checked where it is loaded.
  if ((await modelKindOf(modelFilesAt(found, settings.dtype))) === 'encoder') return null;
  const needs = await needsOf(found, settings).catch(() => null);
  if (needs === null) return null;
  const { line, fits } = fitOf(needs, settings);
  if (fits) return null;
  const smaller = SMALLER[settings.quantize];
  return `octavo: the model may not fit: it takes ${line}. Take ${smaller}, or less --kv-cache-memory`;
}

/** No format of weights becomes larger than this times its size on disk: 4 bits as float32. */
const MOST_GROWTH = 8;

/** Whether the files alone tell that a model fits: a start need not read its graph twice. */
async function isSmall(found: FoundModel, settings: Settings): Promise<boolean> {
  const files = await contentFiles(modelFilesAt(found, settings.dtype)).catch(() => []);
  const stats = await Promise.all(files.map((file) => stat(file).catch(() => null)));
  const weightBytes = stats.reduce((sum, file) => sum + MOST_GROWTH * (file?.size ?? 0), 0);
  return fitOf({ weightBytes }, settings).fits;
}

/** Bytes that other processes leave now; null where the system does not say. */
export function freeMemory(): number | null {
  try {
    const text = readFileSync('/proc/meminfo', 'utf8');
    const kib = /^MemAvailable:\s+(\d+) kB/m.exec(text)?.[1];
    return kib === undefined ? null : Number(kib) * 1024;
  } catch {
    return null;
  }
}

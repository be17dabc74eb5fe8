import type { PageLayout } from '../attention/page-layout.js';
import { DeviceCache, type DeviceSlot } from '../device/device-cache.js';
import { DeviceRunner } from '../device/device-runner.js';
import { testDevice } from '../device/self-test.js';
import { OctavoError } from '../errors.js';
import { emitPagedDecoder } from '../importer/emit/paged-decoder.js';
import type { AttentionSite } from '../importer/imported-model.js';
import { analyze } from '../model/open-model.js';
import type { EngineOptions } from '../protocol/options.js';
import { planCache } from '../recurrent/cache-plan.js';
import type { Backend, BackendRequest } from './backend.js';
import { importOptions } from './import-options.js';

/** The format of the cache on a device: the only one that PagedAttention has for WebGPU. */
const KV_DTYPE = 'f16';

/**
 * The whole decoder as one graph on a GPU, with its cache there. The device's attention is tested
 * first, in the forms that the model has.
 *
 * @throws OctavoError `usage` for options that a device does not take; `device_unavailable`;
 *   `model_unsupported`
 */
export async function deviceBackend(request: BackendRequest): Promise<Backend> {
  const { options, config } = request;
  checkOptions(options);
  const { blockSize, maxNumBatchedTokens } = options;
  const analyzed = await analyze(importOptions(request));
  const { pages } = planCache(analyzed.sites, {
    blockSize,
    kvDtype: KV_DTYPE,
    maxModelLength: options.maxModelLength ?? config.maxPositionEmbeddings,
    maxNumBatchedTokens,
  });
  const model = emitPagedDecoder(analyzed, pages, await testDevice(analyzed.sites, blockSize));
  return {
    model,
    kvDtype: KV_DTYPE,
    hostCacheBytes: 0,
    start: async ({ plan, numBlocks, now }) => {
      const slots = slotsOf(model.sites, plan.pages);
      const cache = await DeviceCache.create({ slots, numBlocks, blockSize });
      return { runner: await DeviceRunner.create(model, cache, { now }), pages: null };
    },
  };
}

function checkOptions({ blockSize, kvDtype, quantize, tiers }: EngineOptions): void {
  const usage = (flag: string, what: string): OctavoError =>
    new OctavoError('usage', `${flag}: ${what}`, { param: flag });
  if (blockSize < 32 || (blockSize & (blockSize - 1)) !== 0) {
    throw usage(
      `--block-size ${blockSize}`,
      'a GPU takes blocks of 32, 64, 128 or 256 tokens (default: 32)',
    );
  }
  if (kvDtype !== undefined) {
    throw usage(`--kv-dtype ${kvDtype}`, 'a GPU keeps its KV cache in f16: leave it out');
  }
  if (quantize) {
    throw usage(
      `--quantize ${quantize.kind}`,
      'is for the CPU; a GPU takes weights of 4 and 8 bits as exports have them (--dtype q4)',
    );
  }
  if (tiers) {
    throw usage(
      '--kv-host-memory, --kv-cache-dir, --kv-tier',
      'cached prefixes of a GPU stay in its memory: leave them out',
    );
  }
}

/** Sizes of each slot's pages: those of any layer that has them. */
function slotsOf(sites: readonly AttentionSite[], { layers, numSlots }: PageLayout): DeviceSlot[] {
  return Array.from({ length: numSlots }, (_, slot) => {
    const { numKvHeads, headSize } = sites[layers.findIndex((pages) => pages.slot === slot)];
    return { numKvHeads, headSize };
  });
}

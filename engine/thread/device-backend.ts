import type { PageLayout } from '../attention/page-layout.js';
import { CHECK_BLOCKS } from '../device/check-device-rows.js';
import { checkCudaLibraries } from '../device/cuda-libraries.js';
import { DeviceRunner } from '../device/device-runner.js';
import { type DeviceForm, PagedSession } from '../device/paged-session.js';
import { testDevice } from '../device/self-test.js';
import { OctavoError } from '../errors.js';
import type { CacheSlot } from '../importer/emit/graph-cache.js';
import { emitPagedDecoder, type PagedDecoder } from '../importer/emit/paged-decoder.js';
import type { AttentionSite } from '../importer/imported-model.js';
import { EXACT_SUMS } from '../importer/quantize/exact-weight-bits.js';
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
  const { options, config, onKernels } = request;
  const form = formOf(options);
  checkOptions(options, form);
  if (form.provider === 'cuda') checkCudaLibraries();
  const { blockSize, maxNumBatchedTokens } = options;
  // (A GPU takes weights as they are: that is what `--quantize auto` chooses for it.)
  const { quantize: _, activations: __, ...own } = options;
  const analyzed = await analyze(importOptions({ ...request, options: own }));
  const { pages } = planCache(analyzed.sites, {
    blockSize,
    kvDtype: KV_DTYPE,
    maxModelLength: options.maxModelLength ?? config.maxPositionEmbeddings,
    maxNumBatchedTokens,
  });
  onKernels();
  const abilities = await testDevice(analyzed.sites, blockSize, form);
  const model = emitPagedDecoder(analyzed, pages, abilities, options.deviceFloats);
  checkExperts(model, form);
  return {
    model,
    kvDtype: KV_DTYPE,
    hostCacheBytes: 0,
    start: async ({ plan, numBlocks, now, loadBlocks }) => {
      const slots = slotsOf(model.sites, plan.pages);
      const shape = { slots, numBlocks: Math.max(numBlocks, CHECK_BLOCKS), blockSize };
      onKernels();
      const session = await PagedSession.open(model.whole, shape, form, {
        cpuNodes: model.cpuNodes,
        ...(model.saturates && { sessionConfig: EXACT_SUMS }),
      });
      const runner = await DeviceRunner.create(model, session, { now, loadBlocks });
      return { runner, adapters: null, ends: null, pages: session.cache };
    },
  };
}

/** CUDA has no tensors on the device in Node: its cache is a part of the graph. */
function formOf({ device, deviceCache }: EngineOptions): DeviceForm {
  const provider = device === 'cuda' ? 'cuda' : 'webgpu';
  const own = provider === 'cuda' ? 'initializers' : 'tensors';
  return { provider, cache: deviceCache ?? own };
}

/** CUDA takes no list of nodes for the CPU, and its kernels for experts have not been tried. */
function checkExperts({ cpuNodes, report }: PagedDecoder, { provider }: DeviceForm): void {
  if (provider !== 'cuda' || cpuNodes.length === 0) return;
  throw new OctavoError(
    'model_unsupported',
    `${report.file}: has ${cpuNodes.length} nodes of experts, which --device cuda does not serve: take webgpu or cpu`,
  );
}

function checkOptions(
  { blockSize, kvDtype, quantize, tiers, lora }: EngineOptions,
  { cache }: DeviceForm,
): void {
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
  if (quantize && quantize.kind !== 'auto') {
    throw usage(
      `--quantize ${quantize.kind}`,
      'is for the CPU; a GPU takes weights of 4 and 8 bits as exports have them (--dtype q4)',
    );
  }
  if (lora) {
    throw usage('--lora', 'adapters are computed by the CPU only: leave out --device');
  }
  if (tiers && cache === 'initializers') {
    throw usage(
      '--kv-host-memory, --kv-cache-dir, --kv-tier',
      'the KV cache of this device can be neither read nor copied: leave them out',
    );
  }
}

/** Sizes of each slot's pages: those of any layer that has them. */
function slotsOf(sites: readonly AttentionSite[], { layers, numSlots }: PageLayout): CacheSlot[] {
  return Array.from({ length: numSlots }, (_, slot) => {
    const { numKvHeads, headSize } = sites[layers.findIndex((pages) => pages.slot === slot)];
    return { numKvHeads, headSize };
  });
}

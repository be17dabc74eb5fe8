import { LoadedAdapters } from '../adapters/loaded-adapters.js';
import { createKernelAttention } from '../attention/kernel-attention.js';
import { openModel } from '../model/open-model.js';
import { createRecurrentLayers } from '../recurrent/create-recurrent.js';
import { SegmentRunner } from '../runner/segment-runner.js';
import { transferOf } from '../tiers/block-transfer.js';
import type { Backend, BackendRequest } from './backend.js';
import { importOptions } from './import-options.js';

/**
 * Segments in ONNX Runtime on the CPU; attention over pages, and layers with a state, in the host's
 * memory.
 */
export async function cpuBackend(request: BackendRequest): Promise<Backend> {
  const { modelDir, blockSize, kvCacheBytes, kvDtype = 'f32', threads, lora } = request.options;
  const { onWarning } = request;
  const model = await openModel(importOptions(request));
  return {
    model,
    kvDtype,
    hostCacheBytes: kvCacheBytes,
    start: async ({ plan, numBlocks, now, images, loadBlocks }) => {
      const sizes = { numBlocks, blockSize, threads };
      const layout = plan.pages;
      const attention =
        model.sites.length > 0
          ? createKernelAttention({ layers: model.sites, layout, ...sizes, kvDtype })
          : null;
      const recurrent = createRecurrentLayers(
        model.recurrent.map(({ recurrence }) => recurrence),
        plan,
        attention?.pages ?? null,
        sizes,
      );
      const adapters = lora ? new LoadedAdapters(model, { ...lora, modelDir, onWarning }) : null;
      const runner = await SegmentRunner.create(model, attention, {
        threads,
        now,
        images,
        loadBlocks,
        ...(recurrent && { recurrent }),
        ...(adapters && { adapters: adapters.stack }),
      });
      return { runner, adapters, pages: transferOf(runner.blocks) };
    },
  };
}

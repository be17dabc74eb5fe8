import { LoadedAdapters } from '../adapters/loaded-adapters.js';
import { createKernelAttention } from '../attention/kernel-attention.js';
import { openCalibration } from '../calibration/open-calibration.js';
import { type OpenOptions, openModel } from '../model/open-model.js';
import type { EngineOptions } from '../protocol/options.js';
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
  const model = await openModel(await withCalibration(importOptions(request), request.options));
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
      return { runner, adapters, ends: runner.ends, pages: transferOf(runner.blocks) };
    },
  };
}

async function withCalibration(
  options: OpenOptions,
  { quantize, threads }: EngineOptions,
): Promise<OpenOptions> {
  if (!options.quantize || quantize?.calibrate === undefined) return options;
  const calibration = await openCalibration(quantize.calibrate, options, {
    threads,
    scratchDir: quantize.cacheDir,
  });
  return { ...options, quantize: { ...options.quantize, calibration } };
}

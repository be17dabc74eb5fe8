import { availableParallelism } from 'node:os';
import { engineOptions } from '../../engine/client/engine-options.js';
import { modelKindOf } from '../../engine/encoder/model-kind.js';
import { OctavoError } from '../../engine/errors.js';
import { type FoundModel, findModel } from '../../engine/hub/find-model.js';
import type { ImportedModel } from '../../engine/importer/imported-model.js';
import { formatReport } from '../../engine/importer/inspect.js';
import { inspectQuantization } from '../../engine/importer/quantize/inspect-quantization.js';
import { checkConfig } from '../../engine/model/check-config.js';
import type { ModelConfig } from '../../engine/model/model-config.js';
import { openGraph, openModel } from '../../engine/model/open-model.js';
import { readServableConfig } from '../../engine/model/servable-config.js';
import { checkRows } from '../../engine/runner/row-check/check-rows.js';
import { loadSegments } from '../../engine/runner/segment-session.js';
import { deviceBackend } from '../../engine/thread/device-backend.js';
import { warnOfUnknownVariables } from '../config/load-settings.js';
import type { Settings } from '../config/settings.js';
import { describeEncoder } from './inspect-encoder.js';
import { downloadObserver } from './progress-bar.js';

/**
 * Finds errors that show only when the model runs, so that a model that passes inspection can be
 * served.
 */
async function tryRows(model: ImportedModel): Promise<void> {
  const segments = await loadSegments(model, availableParallelism());
  try {
    await checkRows(model, segments);
  } finally {
    for (const { session } of segments) await session.release();
  }
}

/**
 * Makes a model's graph for the GPU, after the GPU's attention was tried in the model's forms.
 *
 * @returns what was made of it
 * @throws OctavoError `device_unavailable`; `model_unsupported`: why it is not served there
 */
async function tryDevice(
  found: FoundModel,
  config: ModelConfig,
  settings: Settings,
  device: 'webgpu' | 'cuda',
): Promise<string[]> {
  const { calibrate: _, ...own } = settings;
  const options = engineOptions({ ...own, quantize: 'none' }, found, { device });
  const { model } = await deviceBackend({
    options,
    config,
    onConversion: () => undefined,
    onWarning: () => undefined,
    onKernels: () => undefined,
  });
  const { variant, rewrites } = model.report;
  return [`--device ${device} would serve ${variant}`, ...rewrites.map((line) => `  ${line}`)];
}

/**
 * `octavo inspect`: prints what was recognized in a model's graph, what `--quantize` would rewrite,
 * and with `--device webgpu` or `cuda` whether a GPU would serve it.
 */
export async function inspect(modelName: string, settings: Settings): Promise<number> {
  const { device } = settings;
  if (device === 'auto') {
    throw new OctavoError('usage', '--device auto: inspect takes cpu, webgpu and cuda', {
      param: '--device',
    });
  }
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  warnOfUnknownVariables(process.env, (line) => log(`octavo: ${line}`));
  const observer = downloadObserver(process.stderr, log);
  const found = await findModel(modelName, 'model', settings, observer);
  const files = {
    modelDir: found.dir,
    dtype: settings.dtype,
    ...(found.file !== undefined && { file: found.file }),
  };
  if ((await modelKindOf(files)) === 'encoder') {
    process.stdout.write(await describeEncoder(files));
    return 0;
  }
  const config = await readServableConfig(files);
  const maxLength = config.maxPositionEmbeddings;
  const { activations } = settings;
  const model = await openModel({ ...files, maxLength, activations, isSketch: true });
  const lines = [formatReport(model).trimEnd()];
  // (A graph that was built has rows that do not mix, and its weights need not be read.)
  if (model.report.architecture === null) {
    await tryRows(model);
    lines.push('', 'ran tokens of several sequences together and apart: they do not mix');
  }
  if (settings.quantize !== 'none') {
    const graph = await openGraph(files);
    const plan = await inspectQuantization(graph, {
      kind: settings.quantize,
      nbits: settings.quantizeNbits,
      activations,
    });
    lines.push(
      '',
      `--quantize ${settings.quantize} would rewrite`,
      ...plan.map((line) => `  ${line}`),
    );
  }
  process.stdout.write(`${lines.join('\n')}\n`);
  checkConfig(config, model);
  if (device !== 'cpu') {
    const made = await tryDevice(found, config, settings, device);
    process.stdout.write(`\n${made.join('\n')}\n`);
  }
  return 0;
}

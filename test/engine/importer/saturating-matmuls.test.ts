import { describe, expect, it } from 'vitest';
import { Graph } from '../../../engine/importer/graph.js';
import { importModel } from '../../../engine/importer/import-model.js';
import { formatReport } from '../../../engine/importer/inspect.js';
import { findModelFile, readModelProto } from '../../../engine/importer/model-file.js';
import { noteSaturatingMatmuls } from '../../../engine/importer/passes/saturating-matmuls.js';
import type { WeightBits } from '../../../engine/importer/quantize/quantization.js';
import { exportDir } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';
import { tinyDecoder } from '../../support/tiny-decoder.js';
import { WEIGHT_BITS } from '../../support/weight-bits.js';

const SMOLLM = exportDir('variants', 'smollm2');
const NOTE = /^(\d+) matmuls have int8 weights, whose sums could saturate on this CPU/;

/**
 * What is said about a file of weights in 8 bits, on a CPU that multiplies so many bits exactly.
 */
async function note(path: string, bits: WeightBits) {
  const file = await findModelFile(SMOLLM, path);
  const graph = new Graph(await readModelProto(file), file);
  const saturates = await noteSaturatingMatmuls(graph, () => Promise.resolve(bits));
  return { saturates, rewrites: graph.rewrites };
}

describe('int8 matmuls that an export brings along', () => {
  it('are noticed where their sums could saturate', async () => {
    const { saturates, rewrites } = await note('onnx/model_int8.onnx', 7);
    expect(saturates).toBe(true);
    expect(Number(NOTE.exec(rewrites.join())?.[1])).toBeGreaterThan(1);
  });

  it.each([
    ['int8 on a CPU that is exact', 'onnx/model_int8.onnx', 8],
    ['uint8', 'onnx/model_uint8.onnx', 7],
    ['packed in 4 bits', 'onnx/model_q4.onnx', 7],
  ] as const)('are left alone: %s', async (_, path, bits) => {
    expect(await note(path, bits)).toEqual({ saturates: false, rewrites: [] });
  });

  it('are in the report of this machine if it needs them to be', async () => {
    const model = await importModel({ modelDir: SMOLLM, dtype: 'int8', maxLength: 256 });
    expect(model.saturates).toBe(WEIGHT_BITS < 8);
    expect(formatReport(model).includes('could saturate on this CPU')).toBe(WEIGHT_BITS < 8);
  });

  it('are not those of W8A8, whose bits suit the CPU', async () => {
    const quantize = { nbits: false, cacheDir: modelDir({}) };
    const directory = modelDir({ 'model.onnx': tinyDecoder().bytes() });
    const model = await importModel({ modelDir: directory, quantize });
    expect(model.report.rewrites.join()).toContain(`in ${WEIGHT_BITS} bits`);
    expect(model.saturates).toBe(false);
  });
});

import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { memoryOf } from '../../../engine/checkpoint/packed/packed-matrix.js';
import { findSafetensors, readCheckpoint } from '../../../engine/checkpoint/safetensors-files.js';
import { TensorProto_DataType as Type } from '../../../engine/importer/onnx/onnx_pb.js';
import { WeightKernel } from '../../../engine/importer/quantize/kernel/weight-kernel.js';
import type { QuantizedKind } from '../../../engine/importer/quantize/quantization.js';
import { groupFor, roundedMatrix } from '../../../engine/importer/quantize/round-blocks.js';
import { widen } from '../../../engine/importer/quantize/stored-matrix.js';
import {
  checkpointDir,
  checkpointGolden,
  quantizedDir,
} from '../../support/checkpoint-fixtures.js';
import { ExportRunner, exportDir, readGolden } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';
import { safetensors } from '../../support/safetensors.js';

const CHUNK = 24;

const cacheDir = (): string => modelDir({});

async function load(model: string, kind: QuantizedKind, cache = cacheDir()) {
  const quantize = { kind, nbits: false, cacheDir: cache };
  const runner = await ExportRunner.load(model, { quantize });
  onTestFinished(() => runner.dispose());
  return runner;
}

function distance(a: Float32Array, b: Float32Array): number {
  return a.reduce((max, x, i) => Math.max(max, Math.abs(x - b[i])), 0);
}

/** Root of the mean squared difference, by that of what is expected. */
function error(actual: Float32Array, expected: Float32Array): number {
  const squares = (values: Float32Array): number => values.reduce((sum, x) => sum + x * x, 0);
  return Math.sqrt(squares(actual.map((x, i) => x - expected[i])) / squares(expected));
}

/** A copy of a checkpoint in float32 whose matrices are what rounding makes of them. */
async function roundedCopy(name: string, bits: 4 | 8): Promise<string> {
  const source = checkpointDir(name);
  const { tensors } = await readCheckpoint(source, (await findSafetensors(source)) ?? '');
  const isTied = !tensors.has('lm_head.weight');
  const written = [...tensors.values()].map(({ name: key, type, shape, file, offset, bytes }) => {
    const raw = readFileSync(file).subarray(offset, offset + bytes);
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    const from = Uint8Array.from(raw).buffer;
    if (type === 'F32') values.set(new Float32Array(from));
    else widen(new Uint16Array(from), Type.BFLOAT16, values);
    const isMatrix = shape.length === 2 && (isTied || !key.includes('embed_tokens'));
    const floats = isMatrix ? roundedFloats(values, shape[1], bits) : values;
    return { name: key, shape, values: floats };
  });
  const dir = cacheDir();
  writeFileSync(join(dir, 'model.safetensors'), safetensors(written));
  cpSync(join(source, 'config.json'), join(dir, 'config.json'));
  return dir;
}

function roundedFloats(values: Float32Array, columns: number, bits: 4 | 8): Float32Array {
  const group = groupFor(bits, columns) ?? 0;
  const rows = values.length / columns;
  const matrix = { rows, columns, bytes: 4 * values.length };
  const read = (_: number, __: number, into: Float32Array) => into.set(values);
  const rounded = roundedMatrix(new WeightKernel(), { ...matrix, read }, bits, group);
  const memory = memoryOf(rounded, rows);
  rounded.read(0, rows, memory);
  return Float32Array.from(
    memory.values,
    (q, i) => (q - 2 ** (bits - 1)) * memory.scales[Math.floor(i / group)],
  );
}

// In parts and tied, and with experts that no token chooses.
it.each([
  ['llama3', 4],
  ['qwen2', 4],
  ['qwen2', 8],
  ['mixtral', 4],
  ['mixtral', 8],
] as const)(
  '%s in %d bits computes with what rounding makes of its weights',
  async (name, bits) => {
    const { prompts, tokens } = checkpointGolden(name);
    const cache = cacheDir();
    const runner = await load(checkpointDir(name), `q${bits}`, cache);
    const plain = await ExportRunner.load(await roundedCopy(name, bits));
    onTestFinished(() => plain.dispose());
    const results = await runner.generate(prompts, tokens[0].length, CHUNK);
    const expected = await plain.generate(prompts, tokens[0].length, CHUNK);
    for (const [i, { first }] of results.entries()) {
      expect(distance(first, expected[i].first)).toBeLessThan(bits === 4 ? 1e-3 : 5e-3);
    }
    const [alone] = await runner.generate([prompts[1]], tokens[0].length, CHUNK);
    expect(distance(alone.first, results[1].first)).toBeLessThan(1e-4);
    const report = runner.model.report.rewrites.join('\n');
    expect(report).toMatch(new RegExp(`q${bits}: \\d+ matmuls, .* in ${bits} bits by groups`));
    expect(report.match(/embedding .*, tied to the LM head/g) ?? []).toHaveLength(
      name === 'qwen2' ? 1 : 0,
    );
    expect(readdirSync(cache)).toEqual([expect.stringMatching(`^${name}-q${bits}-`)]);
  },
);

// Packed matrices, and inputs in rows.
it.each(['phi3', 'gpt2'])('%s in 8 bits is near float32', async (name) => {
  const { prompts, logits } = checkpointGolden(name);
  const runner = await load(checkpointDir(name), 'q8');
  for (const [i, { first }] of (await runner.generate(prompts, 1, CHUNK)).entries()) {
    expect(error(first, logits[i][0])).toBeLessThan(0.1);
  }
});

// Operator sets 14 and 21; Gemm with a bias.
it.each([
  ['optimum', 'gpt2'],
  ['genai', 'llama2'],
])('an ONNX file of %s, %s, in 8 bits', async (exporter, family) => {
  const { prompts, logits } = readGolden(family);
  const runner = await load(exportDir(exporter, family), 'q8');
  for (const [i, { first }] of (await runner.generate(prompts, 1, CHUNK)).entries()) {
    expect(error(first, logits[i][0])).toBeLessThan(0.1);
  }
});

it('what is packed already stays exact, and FP8 is rounded', async () => {
  const packed = await load(quantizedDir('awq'), 'q4');
  const report = packed.model.report.rewrites.join('\n');
  expect(report).toMatch(/q4: left as they are: .* and 5 more \(packed weights \(--quantize-nbits/);
  const floats = await load(quantizedDir('fp8-blocks'), 'q4');
  expect(floats.model.report.rewrites.join('\n')).toMatch(/q4: 8 matmuls/);
});

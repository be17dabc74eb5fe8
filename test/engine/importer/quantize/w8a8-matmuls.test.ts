import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { OnnxBuilder } from '../../../../bench/models/onnx-builder.js';
import { Graph } from '../../../../engine/importer/graph.js';
import { STEP_INPUT } from '../../../../engine/importer/imported-model.js';
import { readModelProto } from '../../../../engine/importer/model-file.js';
import {
  type TensorProto,
  TensorProto_DataType as Type,
} from '../../../../engine/importer/onnx/onnx_pb.js';
import {
  LARGEST_WEIGHT,
  type WeightBits,
} from '../../../../engine/importer/quantize/quantization.js';
import { quantizeModel } from '../../../../engine/importer/quantize/quantize-model.js';
import { modelDir } from '../../../support/model-dir.js';
import { exactSession, WEIGHT_BITS } from '../../../support/weight-bits.js';

const INPUTS = 40;
const OUTPUTS = 24;

/**
 * Multiplies as the pass is meant to, with integers in float64: exact. Weights are
 * `[inputs][outputs]`.
 */
function reference(
  x: Float32Array,
  weights: Float32Array,
  outputs: number,
  bits: WeightBits = WEIGHT_BITS,
) {
  const inputs = weights.length / outputs;
  const most = LARGEST_WEIGHT[bits];
  const scales = Float32Array.from({ length: outputs }, (_, n) => {
    let largest = 0;
    for (let k = 0; k < inputs; k++)
      largest = Math.max(largest, Math.abs(weights[k * outputs + n]));
    return largest / most;
  });
  const q = weights.map((w, i) => roundEven(w / scales[i % outputs]));
  const rows = x.length / inputs;
  const y = new Float64Array(rows * outputs);
  for (let r = 0; r < rows; r++) {
    const row = x.subarray(r * inputs, (r + 1) * inputs);
    const scale = Math.fround(Math.max(...row.map(Math.abs)) * Math.fround(1 / 127));
    const a = Array.from(row, (value) => (scale === 0 ? 0 : roundEven(Math.fround(value / scale))));
    for (let n = 0; n < outputs; n++) {
      let sum = 0;
      for (let k = 0; k < inputs; k++) sum += a[k] * q[k * outputs + n];
      y[r * outputs + n] = sum * scales[n] * scale;
    }
  }
  return y;
}

function roundEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** All but the first test: as this machine is served. */
const options = { nbits: false, weightBits: () => Promise.resolve(WEIGHT_BITS) };

/** The graph after the pass, as bytes that ONNX Runtime takes, and the directory of its weights. */
async function quantized(b: OnnxBuilder, more: Partial<typeof options> = {}) {
  const directory = modelDir({ 'model.onnx': b.bytes() });
  const file = `${directory}/model.onnx`;
  const source = new Graph(await readModelProto(file), file);
  const graph = await quantizeModel(source, {
    ...options,
    ...more,
    cacheDir: `${directory}/cache`,
  });
  return { graph, file: graph.file };
}

async function run(
  file: string,
  x: Float32Array,
  dims: readonly number[],
  bits: WeightBits = WEIGHT_BITS,
) {
  const session = await InferenceSession.create(file, { extra: { session: exactSession(bits) } });
  const rows = dims[dims.length - 2];
  const feeds: Record<string, Tensor> = {
    x: new Tensor('float32', x, dims),
    [STEP_INPUT.zeroPoints]: new Tensor('uint8', new Uint8Array(rows).fill(128), [rows]),
  };
  const known = Object.fromEntries(session.inputNames.map((name) => [name, feeds[name]]));
  const results = await session.run(known, ['y']);
  await session.release();
  return results.y.data as Float32Array;
}

/** Rows of very different sizes, one of zeros among them. */
function activations(rows: number, inputs = INPUTS): Float32Array {
  let state = 99;
  return Float32Array.from({ length: rows * inputs }, (_, i) => {
    const row = Math.floor(i / inputs);
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return row === 2 ? 0 : (state / 2 ** 31 - 1) * 10 ** ((row % 5) - 2);
  });
}

function expectNear(actual: Float32Array, expected: Float64Array): void {
  expect(actual.length).toBe(expected.length);
  const largest = Math.max(...expected.map(Math.abs));
  actual.forEach((y, i) => {
    expect(Math.abs(y - expected[i])).toBeLessThan(
      1e-6 * Math.max(Math.abs(expected[i]), 1e-3 * largest),
    );
  });
}

const floatsOf = (tensor: TensorProto | undefined): Float32Array =>
  new Float32Array(new Uint8Array(tensor?.rawData ?? []).buffer);

const turn = (w: Float32Array, rows: number, columns: number): Float32Array =>
  Float32Array.from({ length: w.length }, (_, i) => w[(i % rows) * columns + Math.floor(i / rows)]);

/** y = x W */
function matmul(dims: readonly (number | string)[] = [1, 'T', INPUTS]): OnnxBuilder {
  const b = new OnnxBuilder(3);
  b.input('x', Type.FLOAT, dims);
  b.node('MatMul', 'matmul', ['x', b.weight('w', [INPUTS, OUTPUTS])], { outputs: ['y'] });
  b.output('y', Type.FLOAT, [...dims.slice(0, -1), OUTPUTS]);
  return b;
}

describe('a W8A8 matmul', () => {
  // 8 bits on a machine that is served with 7: with the kernels that are exact there too, so that
  // the rewriting is tested anywhere.
  it.each([8, 7] as const)('is integer arithmetic, exactly: %i bits', async (bits) => {
    const b = matmul();
    const weightBits = () => Promise.resolve(bits);
    const { file } = await quantized(b, { weightBits });
    const x = activations(7);
    expectNear(
      await run(file, x, [1, 7, INPUTS], bits),
      reference(x, floatsOf(b.weights[0]), OUTPUTS, bits),
    );
  });

  it('gives a row the same bits alone and among others', async () => {
    const { file } = await quantized(matmul());
    const x = activations(33);
    const together = await run(file, x, [1, 33, INPUTS]);
    for (let r = 0; r < 33; r++) {
      const alone = await run(file, x.slice(r * INPUTS, (r + 1) * INPUTS), [1, 1, INPUTS]);
      expect(alone).toEqual(together.slice(r * OUTPUTS, (r + 1) * OUTPUTS));
    }
  });

  it('takes activations of two dimensions', async () => {
    const inner = new OnnxBuilder(3);
    inner.input('x', Type.FLOAT, [1, 'T', INPUTS]);
    const flat = inner.node('Reshape', 'flat', ['x', inner.int64('rows', [-1, INPUTS])]);
    inner.node('MatMul', 'matmul', [flat, inner.weight('w', [INPUTS, OUTPUTS])], {
      outputs: ['y'],
    });
    inner.output('y', Type.FLOAT, ['T', OUTPUTS]);
    const { file } = await quantized(inner);
    const x = activations(5);
    const expected = reference(
      x,
      floatsOf(inner.weights.find(({ name }) => name === 'w')),
      OUTPUTS,
    );
    expectNear(await run(file, x, [1, 5, INPUTS]), expected);
  });

  it('is made of Gemm with a transposed weight and a bias', async () => {
    const b = new OnnxBuilder(5);
    b.input('x', Type.FLOAT, ['T', INPUTS]);
    const inputs = ['x', b.weight('w', [OUTPUTS, INPUTS]), b.weight('bias', [OUTPUTS])];
    b.node('Gemm', 'matmul', inputs, { outputs: ['y'], attributes: { transB: 1 } });
    b.output('y', Type.FLOAT, ['T', OUTPUTS]);
    const { file } = await quantized(b);
    const x = activations(6);
    const w = turn(floatsOf(b.weights[0]), OUTPUTS, INPUTS);
    const bias = floatsOf(b.weights[1]);
    const expected = reference(x, w, OUTPUTS).map((y, i) => y + bias[i % OUTPUTS]);
    expectNear(await run(file, x, [6, INPUTS]), expected);
  });

  it.each([
    ['float16', Type.FLOAT16],
    ['bfloat16', Type.BFLOAT16],
  ] as const)('is made of %s weights behind Cast and Transpose', async (_name, type) => {
    const b = new OnnxBuilder(9);
    b.input('x', Type.FLOAT, [1, 'T', INPUTS]);
    // Numbers that both types hold exactly: sixteenths.
    const w = Float32Array.from(
      { length: OUTPUTS * INPUTS },
      (_, i) => (((i * 37) % 61) - 30) / 16,
    );
    b.weight('w', [OUTPUTS, INPUTS], w);
    b.weights[0].dataType = type;
    b.weights[0].rawData = new Uint8Array(Uint16Array.from(w, (v) => halfBits(v, type)).buffer);
    const wide = b.node('Cast', 'wide', ['w'], { attributes: { to: Type.FLOAT } });
    b.node('MatMul', 'matmul', ['x', b.node('Transpose', 'turned', [wide])], { outputs: ['y'] });
    b.output('y', Type.FLOAT, [1, 'T', OUTPUTS]);
    const { file } = await quantized(b);
    const x = activations(5);
    expectNear(await run(file, x, [1, 5, INPUTS]), reference(x, turn(w, OUTPUTS, INPUTS), OUTPUTS));
  });

  it('shares one quantized activation among its consumers', async () => {
    const b = matmul();
    b.node('MatMul', 'other', ['x', b.weight('w2', [INPUTS, OUTPUTS])], { outputs: ['z'] });
    b.output('z', Type.FLOAT, [1, 'T', OUTPUTS]);
    const { graph } = await quantized(b);
    const count = (op: string): number => graph.nodes.filter(({ opType }) => opType === op).length;
    expect(count('QuantizeLinear')).toBe(1);
    expect(count('MatMulIntegerToFloat')).toBe(2);
    expect(count('MatMul')).toBe(0);
  });

  const formats = [2, 4, 8].flatMap((bits) =>
    [16, 32, 64, 128].flatMap((block) =>
      [false, true].map((zeroPoints) => ({ bits, block, zeroPoints })),
    ),
  );

  it.each(formats)(
    'is made of packed weights: $bits bits, blocks of $block, zero points: $zeroPoints',
    async ({ bits, block, zeroPoints }) => {
      // No multiple of the largest block: its last one is padded.
      const inputs = 64 * 3;
      const blocks = Math.ceil(inputs / block);
      const b = new OnnxBuilder(4);
      b.input('x', Type.FLOAT, [1, 'T', inputs]);
      const blockBytes = (block * bits) / 8;
      const packed = Uint8Array.from(
        { length: OUTPUTS * blocks * blockBytes },
        (_, i) => (i * 41) % 256,
      );
      const scales = b.weight('scales', [OUTPUTS * blocks], undefined, 0.1);
      const bytes = (name: string, dims: readonly number[], rawData: Uint8Array): string => {
        b.weight(name, dims, new Float32Array(0));
        Object.assign(b.weights[b.weights.length - 1], { dataType: Type.UINT8, rawData });
        return name;
      };
      const names = ['x', bytes('packed', [OUTPUTS, blocks, blockBytes], packed), scales];
      // Each row of zero points begins with a byte of its own.
      const stride = Math.ceil((blocks * bits) / 8);
      const zeros = Uint8Array.from({ length: OUTPUTS * stride }, (_, i) => (i * 29 + 90) % 256);
      if (zeroPoints) names.push(bytes('zeros', [OUTPUTS * stride], zeros));
      const attributes = { K: inputs, N: OUTPUTS, bits, block_size: block };
      b.contrib('MatMulNBits', 'matmul', names, attributes, ['y']);
      b.output('y', Type.FLOAT, [1, 'T', OUTPUTS]);
      const x = activations(5, inputs);
      // ONNX Runtime's own unpacking, by multiplying with the identity matrix.
      const identity = Float32Array.from({ length: inputs * inputs }, (_, i) =>
        i % (inputs + 1) === 0 ? 1 : 0,
      );
      const plain = await run(`${modelDir({ 'model.onnx': b.bytes() })}/model.onnx`, identity, [
        1,
        inputs,
        inputs,
      ]);
      const { file } = await quantized(b, { nbits: true });
      expectNear(await run(file, x, [1, 5, inputs]), reference(x, plain, OUTPUTS));
    },
  );

  it('leaves its scale to the next matmul, past a gate', async () => {
    const b = new OnnxBuilder(17);
    b.input('x', Type.FLOAT, [1, 'T', INPUTS]);
    const gate = b.node('MatMul', 'gate', ['x', b.weight('wg', [INPUTS, OUTPUTS])]);
    const up = b.node('MatMul', 'up', ['x', b.weight('wu', [INPUTS, OUTPUTS])]);
    const gated = b.node('Mul', 'gated', [b.node('Relu', 'act', [gate]), up]);
    b.node('MatMul', 'down', [gated, b.weight('wd', [OUTPUTS, INPUTS])], { outputs: ['y'] });
    b.output('y', Type.FLOAT, [1, 'T', INPUTS]);
    const [wg, wu, wd] = b.weights.map(floatsOf);
    const { graph, file } = await quantized(b);
    const scaled = graph.nodes.filter(({ name }) => name.endsWith('/scaled'));
    expect(scaled.map(({ name }) => name)).toEqual(['gate/scaled', 'down/scaled']);

    const x = activations(7);
    const gates = reference(x, wg, OUTPUTS);
    const hidden = Float32Array.from(reference(x, wu, OUTPUTS), (u, i) =>
      Math.fround(Math.max(0, gates[i]) * u),
    );
    const expected = reference(hidden, wd, INPUTS);
    const y = await run(file, x, [1, 7, INPUTS]);
    // Rows differ by powers of ten: a scale that is missing, or another row's, is far off. A hidden
    // number may be rounded the other way.
    for (let r = 0; r < 7; r++) {
      const row = expected.slice(r * INPUTS, (r + 1) * INPUTS);
      const largest = Math.max(...row.map(Math.abs));
      row.forEach((value, c) => {
        expect(Math.abs(y[r * INPUTS + c] - value)).toBeLessThanOrEqual(0.01 * largest);
      });
    }
  });
});

describe('what W8A8 leaves alone', () => {
  it('is the scale of a result that is multiplied with itself', async () => {
    const b = new OnnxBuilder(17);
    b.input('x', Type.FLOAT, [1, 'T', INPUTS]);
    const up = b.node('MatMul', 'up', ['x', b.weight('wu', [INPUTS, OUTPUTS])]);
    const square = b.node('Mul', 'square', [up, up]);
    b.node('MatMul', 'down', [square, b.weight('wd', [OUTPUTS, INPUTS])], { outputs: ['y'] });
    b.output('y', Type.FLOAT, [1, 'T', INPUTS]);
    const { graph } = await quantized(b);
    const scaled = graph.nodes.filter(({ name }) => name.endsWith('/scaled'));
    expect(scaled.map(({ name }) => name)).toEqual(['up/scaled', 'down/scaled']);
  });

  it('is packed weights, unless asked for, and matmuls of few inputs', async () => {
    const b = matmul();
    const angles = b.node('MatMul', 'angles', ['t', b.weight('frequencies', [1, 16])]);
    b.input('t', Type.FLOAT, [1, 'T', 1]);
    b.node('Identity', 'out', [angles], { outputs: ['z'] });
    b.output('z', Type.FLOAT, [1, 'T', 16]);
    const { graph } = await quantized(b);
    expect(graph.nodes.filter(({ opType }) => opType === 'MatMul').map((n) => n.name)).toEqual([
      'angles',
    ]);
    expect(graph.rewrites.join('\n')).toContain('left as they are: angles (only 1 inputs)');
  });

  it('is everything in a model without such matmuls: an error', async () => {
    const b = new OnnxBuilder();
    b.input('x', Type.FLOAT, [1, 'T', 64]);
    b.node('Identity', 'same', ['x'], { outputs: ['y'] });
    b.output('y', Type.FLOAT, [1, 'T', 64]);
    await expect(quantized(b)).rejects.toMatchObject({ kind: 'model_unsupported' });
  });

  it('is a weight that is not finite: an error that names the node', async () => {
    const b = matmul();
    const values = floatsOf(b.weights[0]);
    values[77] = Number.NaN;
    b.weights[0].rawData = new Uint8Array(values.buffer);
    await expect(quantized(b)).rejects.toThrow(/weight of node matmul holds a number/);
  });
});

describe('an embedding that is tied to the LM head', () => {
  /** Looks up a row, multiplies it with the same table. */
  function tied(shared: boolean): OnnxBuilder {
    const b = new OnnxBuilder(11);
    b.input('ids', Type.INT64, [1, 'T']);
    const table = b.weight('table', [OUTPUTS, INPUTS]);
    const x = b.node('Gather', 'embed', [table, 'ids'], { outputs: ['x'] });
    const turned = shared
      ? b.node('Transpose', 'turned', [table])
      : b.weight('head', [INPUTS, OUTPUTS], turn(floatsOf(b.weights[0]), OUTPUTS, INPUTS));
    b.node('MatMul', 'matmul', [x, turned], { outputs: ['y'] });
    b.output('x', Type.FLOAT, [1, 'T', INPUTS]);
    b.output('y', Type.FLOAT, [1, 'T', OUTPUTS]);
    return b;
  }

  it.each([true, false])('is stored as int8 rows too (one tensor: %s)', async (shared) => {
    const b = tied(shared);
    const { graph, file } = await quantized(b);
    expect([...graph.initializers.values()].filter(({ dims }) => dims.length === 2)).toHaveLength(
      3,
    );
    const session = await InferenceSession.create(file);
    const ids = [3, 0, 23, 3];
    const { x, y } = await session.run({
      ids: new Tensor('int64', BigInt64Array.from(ids.map(BigInt)), [1, 4]),
      [STEP_INPUT.zeroPoints]: new Tensor('uint8', new Uint8Array(4).fill(128), [4]),
    });
    await session.release();
    const table = floatsOf(b.weights[0]);
    const rows = x.data as Float32Array;
    ids.forEach((id, r) => {
      const row = table.subarray(id * INPUTS, (id + 1) * INPUTS);
      const scale = Math.fround(Math.max(...row.map(Math.abs)) / LARGEST_WEIGHT[WEIGHT_BITS]);
      row.forEach((value, c) => {
        expect(rows[r * INPUTS + c]).toBe(Math.fround(roundEven(value / scale) * scale));
      });
    });
    const head = turn(table, OUTPUTS, INPUTS);
    expectNear(y.data as Float32Array, reference(rows, head, OUTPUTS));
  });

  it('stays float32 when the head is another', async () => {
    const b = tied(false);
    b.weights[1].rawData = new Uint8Array(floatsOf(b.weights[1]).map((w) => w * 1.5).buffer);
    const { graph } = await quantized(b);
    expect(graph.initializer('table')?.dataType).toBe(Type.FLOAT);
  });
});

function halfBits(value: number, type: Type): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0];
  if (type === Type.BFLOAT16) return bits >>> 16;
  if (value === 0) return 0;
  return (
    ((bits >>> 16) & 0x8000) | ((((bits >>> 23) & 0xff) - 112) << 10) | ((bits >>> 13) & 0x3ff)
  );
}

import { describe, expect, it, onTestFinished } from 'vitest';
import type { OnnxBuilder } from '../../../bench/models/onnx-builder.js';
import { OctavoError } from '../../../engine/errors.js';
import { importModel } from '../../../engine/importer/import-model.js';
import { checkRows } from '../../../engine/runner/row-check/check-rows.js';
import { loadSegments } from '../../../engine/runner/segment-session.js';
import { ExportRunner, exportDir, readGolden } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';
import { tinyDecoder } from '../../support/tiny-decoder.js';

/** What the check says about a decoder; null when it lets it pass. */
async function verdict(b: OnnxBuilder, servedLength = 512): Promise<string | null> {
  const dir = modelDir({ 'model.onnx': b.bytes() });
  const model = await importModel({ modelDir: dir, maxLength: servedLength });
  const segments = await loadSegments(model, 1);
  onTestFinished(async () => {
    for (const { session } of segments) await session.release();
  });
  try {
    await checkRows(model, segments);
    return null;
  } catch (error) {
    if (!(error instanceof OctavoError) || error.kind !== 'model_unsupported') throw error;
    return error.message;
  }
}

/** Puts something between the residual stream and the second layer's queries. */
function beforeQueries(insert: (b: OnnxBuilder, from: string) => string): OnnxBuilder {
  const b = tinyDecoder();
  const q = b.nodes.find(({ name }) => name === 'l1/q');
  if (!q) throw new Error('no node l1/q');
  q.input[0] = insert(b, q.input[0]);
  return b;
}

const keep = (keepdims: number) => ({ attributes: { keepdims } });

describe('matmuls of 8 bits that an export brings along', () => {
  it.each([
    ['qwen2', 'q8'],
    ['gpt2', 'q8'],
    ['smollm2', 'int8'],
    ['smollm2', 'uint8'],
  ] as const)('have a scale for each token: %s, %s', async (family, dtype) => {
    const runner = await ExportRunner.load(exportDir('variants', family), { dtype });
    onTestFinished(() => runner.dispose());
    const { prompts } = readGolden(family);
    const together = await runner.generate(prompts, 8, 24);
    for (const [i, prompt] of prompts.entries()) {
      const [alone] = await runner.generate([prompt], 8, 24);
      expect(together[i].tokens).toEqual(alone.tokens);
      expect(together[i].last).toEqual(alone.last);
    }
  });
});

describe('a graph whose tokens are computed by themselves', () => {
  it('passes', async () => {
    expect(await verdict(tinyDecoder())).toBeNull();
    expect(await verdict(tinyDecoder(), 8)).toBeNull();
  });

  it('may use positions and sizes of each token', async () => {
    const b = beforeQueries((g, from) => {
      const table = g.weight('places', [512, 24]);
      return g.node('Add', 'placed', [from, g.node('Gather', 'place', [table, 'position_ids'])]);
    });
    expect(await verdict(b)).toBeNull();
  });
});

describe('a graph that cannot compute the longest sequences', () => {
  it('is refused before one comes', async () => {
    const b = beforeQueries((g, from) => {
      const table = g.weight('places', [100, 24]);
      return g.node('Add', 'placed', [from, g.node('Gather', 'place', [table, 'position_ids'])]);
    });
    expect(await verdict(b, 100)).toBeNull();
    const said = await verdict(b, 101);
    expect(said).toContain('cannot compute a sequence of 101 tokens');
    expect(said).toContain('lower --max-model-len');
  });
});

describe('a graph that lets a sequence feel its neighbors', () => {
  it.each<[string, (b: OnnxBuilder, from: string) => string, string]>([
    [
      'a scale for the whole step',
      (b, from) => {
        const largest = b.node('ReduceMax', 'largest', [b.node('Abs', 'size', [from])], keep(0));
        return b.node('Div', 'scaled', [from, b.node('Sqrt', 'root', [largest])]);
      },
      'node largest (ReduceMax) reads size/out of all sequences in a step together, and node scaled (Div)',
    ],
    [
      'a mean over tokens',
      (b, from) => {
        const mean = b.node('ReduceMean', 'mean', [from, b.int64('axes/1', [1])], keep(1));
        return b.node('Sub', 'centered', [from, mean]);
      },
      'node mean (ReduceMean)',
    ],
    [
      'a sum over what came before',
      (b, from) => b.node('CumSum', 'sum', [from, b.int64('axis/1', [1], [])]),
      'node sum (CumSum)',
    ],
    [
      'places counted from the beginning of the step',
      (b, from) => {
        const length = b.node('Gather', 'length', [
          b.node('Shape', 'shape', ['input_ids']),
          b.int64('index/1', [1], []),
        ]);
        const places = b.node('Range', 'places', [
          b.int64('zero', [0], []),
          length,
          b.int64('step', [1], []),
        ]);
        return b.node('Add', 'placed', [
          from,
          b.node('Gather', 'place', [b.weight('places/table', [64, 24]), places]),
        ]);
      },
      'node places (Range)',
    ],
    [
      'a choice by the smallest position',
      (b, from) => {
        const first = b.node('ReduceMin', 'first', ['position_ids'], keep(0));
        const table = b.weight('table', [512, 24]);
        return b.node('Add', 'placed', [from, b.node('Gather', 'place', [table, first])]);
      },
      'node first (ReduceMin) reads position_ids of all sequences',
    ],
    [
      'integers with one scale for all, read in another way than matmuls do',
      (b, from) => {
        const outputs = ['quantized', 'quantized/scale', 'quantized/zero'];
        b.node('DynamicQuantizeLinear', 'quantize', [from], { outputs });
        return b.node('DequantizeLinear', 'back', outputs);
      },
      'node quantize (DynamicQuantizeLinear) reads l0/residual/out of all sequences in a step together',
    ],
  ])('is refused by name: %s', async (_, insert, expected) => {
    const said = await verdict(beforeQueries(insert));
    expect(said).toContain(expected);
    expect(said).toContain("a request's text would depend on those that run beside it");
  });
});

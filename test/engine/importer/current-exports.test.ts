import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it, onTestFinished } from 'vitest';
import { makeNode } from '../../../engine/importer/onnx/nodes.js';
import {
  ModelProtoSchema,
  TensorProto_DataType,
  TensorProtoSchema,
} from '../../../engine/importer/onnx/onnx_pb.js';
import {
  ExportRunner,
  exportDir,
  exportedFamilies,
  readGolden,
} from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';

/**
 * Exporters of 2026, whose models are compared with transformers 5: see
 * test/fixtures/exports/current.py.
 */
const EXPORTERS = [
  'transformers-5',
  'transformers-5-ort',
  'mobius-24',
  'mobius-cpu',
  'mobius-parts',
  'mobius-static',
  'torch-23-transformers-5',
];
const CHUNK = 24;

describe.each(EXPORTERS)('an export by %s says what transformers says', (exporter) => {
  it.each(exportedFamilies(exporter))('%s, alone and four at once', async (family) => {
    const { prompts, tokens, logits } = readGolden(`transformers-5/${family}`);
    const runner = await ExportRunner.load(exportDir(exporter, family));
    onTestFinished(() => runner.dispose());
    const newTokens = tokens[0].length;
    for (const size of [1, 4]) {
      for (let first = 0; first < prompts.length; first += size) {
        const group = prompts.slice(first, first + size);
        const results = await runner.generate(group, newTokens, CHUNK);
        expect(results.map((result) => result.tokens)).toEqual(tokens.slice(first, first + size));
        for (const [i, result] of results.entries()) {
          const [expected] = logits[first + i];
          const worst = result.first.reduce(
            (max, x, k) => Math.max(max, Math.abs(x - expected[k])),
            0,
          );
          expect(worst).toBeLessThan(1e-3);
        }
      }
    }
  });
});

it('takes a fourth row of positions, as transformers 5 writes Qwen2.5-VL', async () => {
  const dir = exportDir('genai-0.18', 'qwen2.5-vl');
  const model = fromBinary(ModelProtoSchema, readFileSync(join(dir, 'model.onnx')));
  const graph = model.graph;
  const positions = graph?.input.find(({ name }) => name === 'position_ids')?.type?.value;
  if (!graph || positions?.case !== 'tensorType') throw new Error('no position_ids');
  const [rows] = positions.value.shape?.dim ?? [];
  rows.value = { case: 'dimParam', value: '4' };
  for (const { input } of graph.node) {
    input.forEach((name, index) => {
      if (name === 'position_ids') input[index] = 'last_rows';
    });
  }
  graph.node.unshift(
    makeNode('Split', 'rows', ['position_ids', 'row_counts'], ['first_row', 'last_rows'], {
      axis: 0,
    }),
  );
  graph.initializer.push(
    create(TensorProtoSchema, {
      name: 'row_counts',
      dataType: TensorProto_DataType.INT64,
      dims: [2n],
      int64Data: [1n, 3n],
    }),
  );
  const { prompts, tokens } = readGolden('qwen2.5-vl');
  const genai = readFileSync(join(dir, 'genai_config.json'));
  const runner = await ExportRunner.load(
    modelDir({ 'model.onnx': toBinary(ModelProtoSchema, model), 'genai_config.json': genai }),
  );
  onTestFinished(() => runner.dispose());
  const [result] = await runner.generate([prompts[1]], tokens[1].length, CHUNK);
  expect(result.tokens).toEqual(tokens[1]);
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it, onTestFinished } from 'vitest';
import { makeNode, makeValueInfo } from '../../../engine/importer/onnx/nodes.js';
import {
  type GraphProto,
  ModelProtoSchema,
  TensorProto_DataType,
  TensorProtoSchema,
} from '../../../engine/importer/onnx/onnx_pb.js';
import { ExportRunner, exportDir, readGolden } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';

function int64(graph: GraphProto, name: string, dims: readonly number[], value: number): void {
  graph.initializer.push(
    create(TensorProtoSchema, {
      name,
      dims: dims.map(BigInt),
      dataType: TensorProto_DataType.INT64,
      rawData: new Uint8Array(BigInt64Array.of(BigInt(value)).buffer),
    }),
  );
}

/** As ONNX Runtime GenAI's model builder writes `prune_lm_head`. */
function lastToken(graph: GraphProto, hidden: string): string {
  int64(graph, 'last', [], -1);
  int64(graph, 'axis', [1], 1);
  graph.node.push(
    makeNode('Gather', 'prune/Gather', [hidden, 'last'], ['prune/row'], { axis: 1 }),
    makeNode('Unsqueeze', 'prune/Unsqueeze', ['prune/row', 'axis'], ['prune/kept']),
  );
  return 'prune/kept';
}

/** As torch writes transformers' `hidden[:, -num_logits_to_keep:]`. */
function lastTokens(graph: GraphProto, hidden: string): string {
  graph.input.push(makeValueInfo('num_logits_to_keep', TensorProto_DataType.INT64));
  int64(graph, 'axis', [1], 1);
  int64(graph, 'end', [1], 2 ** 40);
  graph.node.push(
    makeNode('Neg', 'keep/Neg', ['num_logits_to_keep'], ['keep/first']),
    makeNode('Unsqueeze', 'keep/Unsqueeze', ['keep/first', 'end.axis'], ['keep/start']),
    makeNode('Slice', 'keep/Slice', [hidden, 'keep/start', 'end', 'axis'], ['keep/kept']),
  );
  int64(graph, 'end.axis', [1], 0);
  return 'keep/kept';
}

describe('a graph that keeps the last tokens of a row itself', () => {
  it.each([
    ['genai', 'qwen3', lastToken],
    // (Its positions are counted from the cache, too.)
    ['optimum', 'gemma3', lastTokens],
  ] as const)('serves all rows that are sampled: %s %s', async (exporter, family, select) => {
    const directory = exportDir(exporter, family);
    const model = fromBinary(ModelProtoSchema, readFileSync(join(directory, 'model.onnx')));
    const head = model.graph?.node.find(({ output }) => output[0] === 'logits');
    if (!model.graph || !head) throw new Error('no LM head');
    head.input[0] = select(model.graph, head.input[0]);
    const changed = modelDir({
      'model.onnx': toBinary(ModelProtoSchema, model),
      'config.json': readFileSync(join(directory, 'config.json')),
    });
    const runner = await ExportRunner.load(changed);
    onTestFinished(() => runner.dispose());
    const { prompts, tokens } = readGolden(family);
    const results = await runner.generate(prompts, 4, 24);
    expect(results.map((result) => result.tokens)).toEqual(tokens.map((ids) => ids.slice(0, 4)));
  });
});

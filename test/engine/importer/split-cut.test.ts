import { create } from '@bufbuild/protobuf';
import { expect, it } from 'vitest';
import { elementTypes } from '../../../engine/importer/element-types.js';
import { Graph } from '../../../engine/importer/graph.js';
import { makeNode, makeValueInfo } from '../../../engine/importer/onnx/nodes.js';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  TensorProtoSchema,
  TensorProto_DataType as Type,
} from '../../../engine/importer/onnx/onnx_pb.js';
import { splitCut } from '../../../engine/importer/passes/split-cut.js';

const table = (name: string) =>
  create(TensorProtoSchema, {
    name,
    dims: [8n, 4n],
    dataType: Type.BFLOAT16,
    rawData: new Uint8Array(64),
  });
const toFloat = { to: Type.FLOAT };

/** Two tables of bfloat16 that rows are looked up in, widened and summed, and two matmuls. */
function sample(): Graph {
  const weights = ['first', 'second'].map((name) =>
    create(TensorProtoSchema, { ...table(name), dims: [4n, 4n], rawData: new Uint8Array(32) }),
  );
  const model = create(ModelProtoSchema, {
    graph: create(GraphProtoSchema, {
      node: [
        makeNode('Gather', 'words', ['table', 'ids'], ['words']),
        makeNode('Gather', 'places', ['positions', 'ids'], ['places']),
        makeNode('Cast', 'wide words', ['words'], ['a'], toFloat),
        makeNode('Cast', 'wide places', ['places'], ['b'], toFloat),
        makeNode('Add', 'sum', ['a', 'b'], ['x']),
        ...['first', 'second'].map((name) =>
          makeNode('Cast', `wide ${name}`, [name], [`${name}/float`], toFloat),
        ),
        makeNode('MatMul', 'one', ['x', 'first/float'], ['y']),
        makeNode('Relu', 'relu', ['y'], ['z']),
        makeNode('MatMul', 'two', ['z', 'second/float'], ['out']),
      ],
      initializer: [table('table'), table('positions'), ...weights],
      input: [makeValueInfo('ids', Type.INT64)],
      output: [makeValueInfo('out', Type.FLOAT)],
    }),
  });
  return new Graph(model, 'sample.onnx');
}

it('cuts before weights, but never between a tensor of 16 bits and what reads it', () => {
  const graph = sample();
  const cut = { nodes: graph.nodes, inputs: ['ids'], outputs: ['out'] };
  const parts = splitCut(graph, cut, elementTypes(graph), new Set(['y']), 1);
  expect(parts.map(({ nodes }) => nodes.map(({ name }) => name))).toEqual([
    ['words', 'places', 'wide words', 'wide places', 'sum'],
    ['wide first', 'one', 'relu'],
    ['wide second', 'two'],
  ]);
  expect(parts.map(({ inputs, outputs }) => [inputs, outputs])).toEqual([
    [['ids'], ['x']],
    [['x'], ['y', 'z']],
    [['z'], ['out']],
  ]);
});

it('leaves a segment whole whose weights fit', () => {
  const graph = sample();
  const cut = { nodes: graph.nodes, inputs: ['ids'], outputs: ['out'] };
  const [only, ...others] = splitCut(graph, cut, elementTypes(graph), new Set(), 2 ** 20);
  expect(others).toEqual([]);
  expect(only.outputs).toEqual(['out']);
});

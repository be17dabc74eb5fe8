import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { makeNode } from '../../../engine/importer/onnx/nodes.js';
import {
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  TensorProto_DataType,
  TensorProtoSchema,
} from '../../../engine/importer/onnx/onnx_pb.js';
import { exportDir } from '../../support/export-fixtures.js';
import { failure } from './import-failure.js';

/** Optimum's Llama with a change to layer 1's attention. */
function changed(change: (layer: Layer) => void): Uint8Array {
  const bytes = readFileSync(join(exportDir('optimum', 'llama3'), 'model.onnx'));
  const model = fromBinary(ModelProtoSchema, bytes);
  change(new Layer(model));
  return toBinary(ModelProtoSchema, model);
}

class Layer {
  readonly #model: ModelProto;
  readonly softmax: NodeProto;

  constructor(model: ModelProto) {
    this.#model = model;
    const softmaxes = this.#nodes.filter(({ opType }) => opType === 'Softmax');
    this.softmax = softmaxes[1];
  }

  get #nodes(): NodeProto[] {
    return this.#model.graph?.node ?? [];
  }

  producer(tensor: string): NodeProto {
    const node = this.#nodes.find(({ output }) => output.includes(tensor));
    if (!node) throw new Error(`nothing makes ${tensor}`);
    return node;
  }

  /** The mask is added to the scores just before the softmax. */
  get masked(): NodeProto {
    return this.producer(this.softmax.input[0]);
  }

  get matmul(): NodeProto {
    return this.producer(this.masked.input[0]);
  }

  /** Puts a node of one operand, or of one and a weight, before an input. */
  insert(node: NodeProto, index: number, opType: string, weight?: number[]): void {
    const name = `inserted/${opType}`;
    const inputs = [node.input[index]];
    if (weight) {
      inputs.push(`${name}/weight`);
      this.#model.graph?.initializer.push(
        create(TensorProtoSchema, {
          name: `${name}/weight`,
          dataType: TensorProto_DataType.FLOAT,
          dims: [1n, BigInt(weight.length), 1n, 1n],
          floatData: weight,
        }),
      );
    }
    this.#nodes.push(makeNode(opType, name, inputs, [name]));
    node.input[index] = name;
  }
}

describe('decomposed attention that is not what it seems', () => {
  it('is refused without a mask: later tokens are seen', async () => {
    const { kind, message } = await failure(
      changed(({ softmax, matmul }) => {
        softmax.input[0] = matmul.output[0];
      }),
    );
    expect(kind).toBe('model_unsupported');
    expect(message).toMatch(
      /layers\.1\/self_attn\/MatMul_1 \(decomposed\): the query at position \d+ sees position \d+, a later token/,
    );
  });

  it('is refused with a scale of its own for each head', async () => {
    const { message } = await failure(
      changed((layer) => layer.insert(layer.masked, 0, 'Mul', [1, 2, 3, 4])),
    );
    expect(message).toMatch(/layers\.1\/.*its factor inserted\/Mul\/weight is not one number/);
  });

  it('is refused with an operator on the way that is not expected, by its name', async () => {
    const scores = await failure(changed((layer) => layer.insert(layer.masked, 0, 'Sin')));
    expect(scores.message).toMatch(
      /node inserted\/Sin \(Sin\) makes its scores; expected MatMul\(queries, keys\)/,
    );
    const weights = await failure(
      changed((layer) => {
        layer.insert(layer.producer(layer.matmul.input[1]), 0, 'Neg');
      }),
    );
    expect(weights.message).toMatch(
      /layers\.1\/.*MatMul.* expected Concat\(past keys, new keys\), transposed, as its second input/,
    );
  });

  it('is refused when the result is another than that of its description', async () => {
    // Scores that never fall below zero: neither the mask nor the structure tells of it.
    const { message } = await failure(
      changed((layer) => layer.insert(layer.masked, 0, 'Max', [0, 0, 0, 0])),
    );
    expect(message).toMatch(
      /layers\.1\/self_attn\/MatMul_1 .* run on random numbers it gives something else/,
    );
  });
});

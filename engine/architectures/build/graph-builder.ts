import { create } from '@bufbuild/protobuf';
import { PACKED_FORMATS } from '../../checkpoint/packed/index.js';
import {
  COMPOSED_PARTS,
  type ComposedWeight,
  type StoredTensor,
} from '../../checkpoint/stored-tensor.js';
import { MICROSOFT, setGraphAttribute } from '../../importer/onnx/nodes.js';
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  TensorProto_DataType as Type,
  type ValueInfoProto,
} from '../../importer/onnx/onnx_pb.js';
import { OCTAVO, UNPACK } from '../../importer/onnx/unpack-node.js';
import type { Weight } from '../decoder.js';
import { externalTensor, nameOf } from './stored-weights.js';

/** A whole number, a float, several whole numbers, or a text. */
type Attribute = number | { readonly float: number } | readonly number[] | string;

/** What a constant of the graph itself is made of. */
type TensorValues =
  | { readonly dataType: Type.FLOAT; readonly rawData: Uint8Array }
  | { readonly dataType: Type.INT64; readonly int64Data: bigint[] };

/**
 * Collects the nodes of a graph whose weights are those of a checkpoint, in place: initializers
 * that name a file and an offset. A node's output has the node's name, and of equal nodes there is
 * one: layers share constants, and blocks side by side their norm.
 */
export class GraphBuilder {
  readonly #tensors: ReadonlyMap<string, StoredTensor>;
  readonly #isFinal: boolean;
  /** By all that makes them equal. */
  readonly #nodes = new Map<string, NodeProto>();
  /** How many nodes wanted a name. */
  readonly #names = new Map<string, number>();
  readonly #initializers = new Map<string, TensorProto>();

  /**
   * @param isFinal whether no pass follows, which would look for matrices that are turned before a
   *   matmul
   */
  constructor(tensors: ReadonlyMap<string, StoredTensor>, isFinal = false) {
    this.#tensors = tensors;
    this.#isFinal = isFinal;
  }

  /** `x W`, of a matrix that is stored as `[outputs, inputs]` if it is `turned`. */
  matmul(name: string, x: string, stored: string, turned: boolean): string {
    if (turned && this.#isFinal)
      return this.contrib('FusedMatMul', name, [x, stored], { transB: 1 });
    // For a stored matrix, passes and ONNX Runtime look through it: nothing is turned in a step.
    const matrix = turned
      ? this.node('Transpose', `${stored}/turned`, [stored], { perm: [1, 0] })
      : stored;
    return this.node('MatMul', name, [x, matrix]);
  }

  /**
   * Adds a node of one output, unless an equal one is there.
   *
   * @param name a name for it; a number is appended where another node has it
   * @returns name of the output
   */
  node(
    opType: string,
    name: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = '',
  ): string {
    return this.#add(opType, name, inputs, [], attributes, domain).output[0];
  }

  /** A node of ONNX Runtime's own domain. */
  contrib(
    opType: string,
    name: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): string {
    return this.node(opType, name, inputs, attributes, MICROSOFT);
  }

  /** Adds a node whose outputs have names of their own. @returns the node, or an equal one */
  split(
    opType: string,
    name: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): NodeProto {
    return this.#add(opType, name, inputs, outputs, attributes, '');
  }

  /**
   * A Loop of one output. Its body reads tensors from outside, which are no inputs of its node: it
   * comes behind those that make them.
   */
  loop(name: string, inputs: readonly string[], body: GraphProto): string {
    const node = this.#add('Loop', name, inputs, [], {}, '');
    setGraphAttribute(node, 'body', body);
    return node.output[0];
  }

  /** @param outputs names, which must be free; empty for the node's own */
  #add(
    opType: string,
    name: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>>,
    domain: string,
  ): NodeProto {
    // (What a loop does is in its body.)
    const by = opType === 'Loop' ? name : null;
    const key = JSON.stringify([domain, opType, inputs, attributes, by]);
    const known = this.#nodes.get(key);
    if (known) return known;
    const own = this.#free(name);
    const node = create(NodeProtoSchema, {
      opType,
      name: own,
      domain,
      input: [...inputs],
      output: outputs.length > 0 ? [...outputs] : [own],
      attribute: Object.entries(attributes).map(([at, value]) => toAttribute(at, value)),
    });
    this.#nodes.set(key, node);
    return node;
  }

  #free(name: string): string {
    const count = (this.#names.get(name) ?? 0) + 1;
    this.#names.set(name, count);
    return count === 1 ? name : `${name}.${count}`;
  }

  /** A weight in its own number format. @returns its name */
  stored(weight: Weight): string {
    const key = nameOf(weight);
    if (!this.#initializers.has(key)) {
      this.#initializers.set(key, externalTensor(key, this.#tensor(weight.name), weight));
    }
    return key;
  }

  /** A weight as float32. @returns the name of what holds it */
  weight(weight: Weight): string {
    const { type, composed } = this.#tensor(weight.name);
    if (composed) return this.#composed(weight, composed);
    const stored = this.stored(weight);
    if (type === 'F32') return stored;
    if (PACKED_FORMATS.has(type)) return this.#unpacked(`${stored}/unpacked`, type, [weight]);
    return this.node('Cast', `${stored}/float`, [stored], { to: Type.FLOAT });
  }

  /**
   * Matrices of one width below one another, as float32.
   *
   * @param name a name for the whole
   * @param dense whether those of floats may be joined, too: something has to write them as one
   * @returns the name of what holds it; null for matrices that must stay apart
   */
  joined(name: string, weights: readonly Weight[], dense: boolean): string | null {
    const tensors = weights.map((weight) => this.#tensor(weight.name));
    if (tensors.some(({ composed }) => composed !== undefined)) return null;
    const [{ type }] = tensors;
    const packed = tensors.filter((tensor) => PACKED_FORMATS.has(tensor.type));
    if (packed.length === 0) {
      if (!dense) return null;
      const parts = weights.map((weight) => this.weight(weight));
      return this.node('Concat', name, parts, { axis: 0 });
    }
    return tensors.every((tensor) => tensor.type === type)
      ? this.#unpacked(name, type, weights)
      : null;
  }

  /**
   * A matrix whose rows are looked up.
   *
   * @returns its name, and whether the rows are float32 when they come
   */
  table(weight: Weight): { readonly rows: string; readonly isFloat: boolean } {
    const { type } = this.#tensor(weight.name);
    const isNarrow = type === 'F16' || type === 'BF16';
    return { rows: isNarrow ? this.stored(weight) : this.weight(weight), isFloat: !isNarrow };
  }

  /** The rows of packed weights of one format, one weight behind the other. */
  #unpacked(name: string, format: string, weights: readonly Weight[]): string {
    const stored = weights.map((weight) => this.stored(weight));
    const rows = weights.reduce((sum, weight) => sum + (weight.rows?.count ?? weight.shape[0]), 0);
    const sizes = { rows, columns: weights[0].shape[1] };
    return this.node(UNPACK, name, stored, { format, ...sizes }, OCTAVO);
  }

  /**
   * A weight that several tensors stand for, whole: its parts may lie in any order. Stacked
   * matrices are rows of one.
   */
  #composed(weight: Weight, { format, bits, added, block, parts }: ComposedWeight): string {
    const { shape, rows, matrix = 0 } = weight;
    const [height, columns] = shape.slice(-2);
    const inputs = COMPOSED_PARTS.map((part) => {
      const tensor = parts[part];
      return tensor ? this.#part(tensor) : '';
    });
    return this.node(
      UNPACK,
      `${nameOf(weight)}/unpacked`,
      inputs,
      {
        format,
        bits,
        added,
        block_rows: block[0],
        block_columns: block[1],
        outputs: shape.slice(0, -1).reduce((product, size) => product * size, 1),
        first: matrix * height + (rows?.first ?? 0),
        rows: rows?.count ?? height,
        columns,
      },
      OCTAVO,
    );
  }

  #part(tensor: StoredTensor): string {
    if (!this.#initializers.has(tensor.name)) {
      this.#initializers.set(tensor.name, externalTensor(tensor.name, tensor));
    }
    return tensor.name;
  }

  floats(name: string, values: Float32Array, dims: readonly number[] = [values.length]): string {
    const rawData = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return this.#constant(name, { dataType: Type.FLOAT, rawData }, dims);
  }

  float(name: string, value: number): string {
    return this.floats(name, Float32Array.of(value), []);
  }

  ints(name: string, values: readonly number[], dims: readonly number[] = [values.length]): string {
    return this.#constant(name, { dataType: Type.INT64, int64Data: values.map(BigInt) }, dims);
  }

  build(
    inputs: readonly ValueInfoProto[],
    outputs: readonly ValueInfoProto[],
    producerName: string,
  ): ModelProto {
    return create(ModelProtoSchema, {
      irVersion: 10n,
      producerName,
      opsetImport: [
        create(OperatorSetIdProtoSchema, { domain: '', version: 21n }),
        create(OperatorSetIdProtoSchema, { domain: MICROSOFT, version: 1n }),
      ],
      graph: create(GraphProtoSchema, {
        name: producerName,
        node: [...this.#nodes.values()],
        input: [...inputs],
        output: [...outputs],
        initializer: [...this.#initializers.values()],
      }),
    });
  }

  #tensor(name: string): StoredTensor {
    const tensor = this.#tensors.get(name);
    if (!tensor) throw new Error(`the weights were checked, but ${name} is missing`);
    return tensor;
  }

  #constant(name: string, data: TensorValues, dims: readonly number[]): string {
    if (!this.#initializers.has(name)) {
      const tensor = create(TensorProtoSchema, { ...data, name, dims: dims.map(BigInt) });
      this.#initializers.set(name, tensor);
    }
    return name;
  }
}

function toAttribute(name: string, value: Attribute): AttributeProto {
  if (typeof value === 'number') {
    return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) });
  }
  if (typeof value === 'string') {
    const s = new TextEncoder().encode(value);
    return create(AttributeProtoSchema, { name, type: AttributeType.STRING, s });
  }
  if ('float' in value) {
    return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
  }
  return create(AttributeProtoSchema, {
    name,
    type: AttributeType.INTS,
    ints: value.map(BigInt),
  });
}

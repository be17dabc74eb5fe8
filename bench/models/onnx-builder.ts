import { create, toBinary } from '@bufbuild/protobuf';
import { MICROSOFT, makeValueInfo } from '../../engine/importer/onnx/nodes.js';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
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
} from '../../engine/importer/onnx/onnx_pb.js';

type Attribute = number | { readonly float: number } | string;

/** Builds ONNX graphs; small weights come from a seed. */
export class OnnxBuilder {
  readonly nodes: NodeProto[] = [];
  readonly inputs: ValueInfoProto[] = [];
  readonly outputs: ValueInfoProto[] = [];
  readonly weights: TensorProto[] = [];
  #seed: number;

  constructor(seed = 1) {
    this.#seed = seed;
  }

  /** Adds a node and returns its first output. An empty name leaves an output or input out. */
  node(
    opType: string,
    name: string,
    input: readonly string[],
    options: {
      readonly outputs?: readonly string[];
      readonly domain?: string;
      readonly attributes?: Readonly<Record<string, Attribute>>;
    } = {},
  ): string {
    const output = options.outputs ?? [`${name}/out`];
    const attribute = Object.entries(options.attributes ?? {}).map(([key, value]) =>
      toAttribute(key, value),
    );
    const domain = options.domain ?? '';
    this.nodes.push(
      create(NodeProtoSchema, {
        opType,
        name,
        domain,
        input: [...input],
        output: [...output],
        attribute,
      }),
    );
    return output[0];
  }

  contrib(
    opType: string,
    name: string,
    input: readonly string[],
    attributes: Readonly<Record<string, Attribute>>,
    outputs?: readonly string[],
  ): string {
    const options = { domain: MICROSOFT, attributes };
    return this.node(opType, name, input, outputs ? { ...options, outputs } : options);
  }

  /** A float weight; random in [-scale, scale] unless values are given. */
  weight(name: string, dims: readonly number[], values?: Float32Array, scale = 0.4): string {
    const size = dims.reduce((a, b) => a * b, 1);
    const data =
      values ?? Float32Array.from({ length: size }, () => (this.#random() * 2 - 1) * scale);
    const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.weights.push(
      create(TensorProtoSchema, { name, dims: dims.map(BigInt), dataType: Type.FLOAT, rawData }),
    );
    return name;
  }

  int64(
    name: string,
    values: readonly number[],
    dims: readonly number[] = [values.length],
  ): string {
    this.weights.push(
      create(TensorProtoSchema, {
        name,
        dims: dims.map(BigInt),
        dataType: Type.INT64,
        int64Data: values.map(BigInt),
      }),
    );
    return name;
  }

  input(name: string, type: Type, dims: readonly (number | string)[]): string {
    this.inputs.push(shaped(name, type, dims));
    return name;
  }

  output(name: string, type: Type, dims: readonly (number | string)[]): void {
    this.outputs.push(shaped(name, type, dims));
  }

  build(): ModelProto {
    return create(ModelProtoSchema, {
      irVersion: 10n,
      producerName: 'test',
      opsetImport: [
        create(OperatorSetIdProtoSchema, { domain: '', version: 21n }),
        create(OperatorSetIdProtoSchema, { domain: MICROSOFT, version: 1n }),
      ],
      graph: create(GraphProtoSchema, {
        name: 'test',
        node: this.nodes,
        input: this.inputs,
        output: this.outputs,
        initializer: this.weights,
      }),
    });
  }

  bytes(): Uint8Array {
    return toBinary(ModelProtoSchema, this.build());
  }

  /** Mulberry32: small, and the same everywhere. */
  #random(): number {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}

function toAttribute(name: string, value: Attribute): NodeProto['attribute'][number] {
  if (typeof value === 'number') {
    return create(AttributeProtoSchema, {
      name,
      type: AttributeProto_AttributeType.INT,
      i: BigInt(value),
    });
  }
  if (typeof value === 'string') {
    const s = new TextEncoder().encode(value);
    return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.STRING, s });
  }
  return create(AttributeProtoSchema, {
    name,
    type: AttributeProto_AttributeType.FLOAT,
    f: value.float,
  });
}

function shaped(name: string, type: Type, dims: readonly (number | string)[]): ValueInfoProto {
  const info = makeValueInfo(name, type);
  if (info.type?.value.case === 'tensorType') {
    info.type.value.value.shape = {
      $typeName: 'onnx.TensorShapeProto',
      dim: dims.map((dim) => ({
        $typeName: 'onnx.TensorShapeProto.Dimension',
        denotation: '',
        value:
          typeof dim === 'number'
            ? { case: 'dimValue', value: BigInt(dim) }
            : { case: 'dimParam', value: dim },
      })),
    };
  }
  return info;
}

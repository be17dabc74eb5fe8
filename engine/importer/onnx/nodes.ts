import { create } from '@bufbuild/protobuf';
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  type TensorProto_DataType,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from './onnx_pb.js';

/** The domain of ONNX Runtime's own operators. */
export const MICROSOFT = 'com.microsoft';

/** An integer attribute of a node, or else the default of the operator's specification. */
export function intAttribute(node: NodeProto, name: string, otherwise: number): number {
  const attribute = node.attribute.find((a) => a.name === name);
  return attribute ? Number(attribute.i) : otherwise;
}

export function setIntAttribute(node: NodeProto, name: string, value: number): void {
  const attribute = node.attribute.find((a) => a.name === name);
  if (attribute) attribute.i = BigInt(value);
  else node.attribute.push(intAttributeProto(name, value));
}

export function floatAttribute(node: NodeProto, name: string, otherwise: number): number {
  return node.attribute.find((a) => a.name === name)?.f ?? otherwise;
}

export function makeNode(
  opType: string,
  name: string,
  input: readonly string[],
  output: readonly string[],
  attributes: Readonly<Record<string, number>> = {},
): NodeProto {
  return create(NodeProtoSchema, {
    opType,
    name,
    input: [...input],
    output: [...output],
    attribute: Object.entries(attributes).map(([key, value]) => intAttributeProto(key, value)),
  });
}

export function setFloatAttribute(node: NodeProto, name: string, value: number): void {
  node.attribute.push(
    create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.FLOAT, f: value }),
  );
}

export function setStringAttribute(node: NodeProto, name: string, value: string): void {
  const s = new TextEncoder().encode(value);
  node.attribute.push(
    create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.STRING, s }),
  );
}

export function setGraphAttribute(node: NodeProto, name: string, g: GraphProto): void {
  node.attribute.push(
    create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.GRAPH, g }),
  );
}

function intAttributeProto(name: string, value: number): AttributeProto {
  return create(AttributeProtoSchema, {
    name,
    type: AttributeProto_AttributeType.INT,
    i: BigInt(value),
  });
}

/** Name and element type; the shape stays open. */
export function makeValueInfo(name: string, elemType: TensorProto_DataType): ValueInfoProto {
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: 'tensorType', value: { elemType } } },
  });
}

/**
 * Sizes of a tensor's dimensions as the model states them; null for an open dimension, undefined
 * when no shape is stated.
 */
export function shapeOf(info: ValueInfoProto | undefined): (number | null)[] | undefined {
  const type = info?.type?.value;
  if (type?.case !== 'tensorType') return undefined;
  return type.value.shape?.dim.map(({ value }) =>
    value.case === 'dimValue' ? Number(value.value) : null,
  );
}

/** Lets a model use the operators of ONNX Runtime's own domain. */
export function importMicrosoft({ opsetImport }: ModelProto): void {
  if (opsetImport.some(({ domain }) => domain === MICROSOFT)) return;
  opsetImport.push(create(OperatorSetIdProtoSchema, { domain: MICROSOFT, version: 1n }));
}

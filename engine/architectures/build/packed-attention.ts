import { create } from '@bufbuild/protobuf';
import { MICROSOFT, makeNode, setFloatAttribute } from '../../importer/onnx/nodes.js';
import {
  type GraphProto,
  GraphProtoSchema,
  type NodeProto,
  TensorProto_DataType as Type,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from '../../importer/onnx/onnx_pb.js';
import type { EncoderAttention } from '../encoders/encoder.js';
import type { GraphBuilder } from './graph-builder.js';

/**
 * Inputs `[n, 4]`: rows of queries and of the keys that they see, each as first and end. Spans of
 * queries follow one another, and cover all rows.
 */
export const SPANS = 'spans';
/** The same for layers whose tokens do not attend to all: shorter, with the keys in reach. */
export const NEAR_SPANS = 'near_spans';

/** Smaller than any score; not infinite, which would make NaN of a difference. */
const MASKED = -3.4e38;

/**
 * Attention of rows `[1, T, heads * headSize]` that belong to several texts, span by span: nothing
 * is filled up, and no row sees another text. A loop in the graph, whose results are joined.
 *
 * @param name prefix of all names in it
 */
export function packedAttention(
  b: GraphBuilder,
  name: string,
  rows: Readonly<Record<'query' | 'key' | 'value', string>>,
  { numHeads, scale, reach }: Pick<EncoderAttention, 'numHeads' | 'scale' | 'reach'>,
): string {
  const spans = reach === null ? SPANS : NEAR_SPANS;
  const at = (part: string): string => `${name}/span.${part}`;
  const axis = b.ints('token_axis', [1]);
  const nodes: NodeProto[] = [
    makeNode('Identity', at('go_on'), [at('condition')], [at('goes_on')]),
    makeNode('Gather', at('gather'), [spans, at('index')], [at('bounds')]),
    makeNode('Split', at('split'), [at('bounds')], ['from', 'to', 'key_from', 'key_to'].map(at), {
      num_outputs: 4,
    }),
    makeNode('Slice', at('q'), [rows.query, at('from'), at('to'), axis], [at('query')]),
    makeNode('Slice', at('k'), [rows.key, at('key_from'), at('key_to'), axis], [at('key')]),
    makeNode('Slice', at('v'), [rows.value, at('key_from'), at('key_to'), axis], [at('value')]),
    ...(reach === null ? [] : maskNodes(b, at, reach)),
  ];
  const given = [at('query'), at('key'), at('value')];
  const inputs = reach === null ? given : [...given, '', '', at('mask')];
  const attention = makeNode('MultiHeadAttention', at('mha'), inputs, [at('attended')], {
    num_heads: numHeads,
  });
  attention.domain = MICROSOFT;
  setFloatAttribute(attention, 'scale', scale);
  nodes.push(
    attention,
    makeNode('SequenceInsert', at('insert'), [at('done'), at('attended')], [at('longer')]),
  );
  const body = create(GraphProtoSchema, {
    name: at('body'),
    node: nodes,
    input: [
      scalarInfo(at('index'), Type.INT64),
      scalarInfo(at('condition'), Type.BOOL),
      sequenceInfo(at('done')),
    ],
    output: [scalarInfo(at('goes_on'), Type.BOOL), sequenceInfo(at('longer'))],
  });
  return joined(b, name, spans, body);
}

function joined(b: GraphBuilder, name: string, spans: string, body: GraphProto): string {
  const shape = b.node('Shape', `${spans}/shape`, [spans]);
  const count = b.node('Gather', `${spans}/count`, [shape, b.ints('zero_int', [0], [])]);
  const none = b.node('SequenceEmpty', 'no_rows', [], { dtype: Type.FLOAT });
  const all = b.loop(`${name}/spans`, [count, '', none], body);
  return b.node('ConcatFromSequence', `${name}/attended`, [all], { axis: 1 });
}

/** 0 where a key is in reach, `[1, 1, queries, keys]`. */
function maskNodes(b: GraphBuilder, at: (part: string) => string, reach: number): NodeProto[] {
  const one = b.ints('one_int', [1], []);
  const scalar = (bound: string): NodeProto =>
    makeNode('Squeeze', at(`${bound}.squeeze`), [at(bound)], [at(`${bound}.number`)]);
  const range = (from: string, to: string, output: string): NodeProto => {
    const bounds = [at(`${from}.number`), at(`${to}.number`), one];
    return makeNode('Range', at(`${output}.range`), bounds, [at(output)]);
  };
  const zero = b.float('zero', 0);
  return [
    ...['from', 'to', 'key_from', 'key_to'].map(scalar),
    range('from', 'to', 'places'),
    range('key_from', 'key_to', 'key_places'),
    makeNode('Unsqueeze', at('column'), [at('places'), b.ints('last_axis', [-1])], [at('columns')]),
    makeNode('Sub', at('sub'), [at('columns'), at('key_places')], [at('differences')]),
    makeNode('Abs', at('abs'), [at('differences')], [at('distances')]),
    makeNode(
      'Greater',
      at('greater'),
      [at('distances'), b.ints(`reach.${reach}`, [reach], [])],
      [at('is_far')],
    ),
    makeNode(
      'Where',
      at('where'),
      [at('is_far'), b.float('masked', MASKED), zero],
      [at('mask.flat')],
    ),
    makeNode(
      'Unsqueeze',
      at('mask.unsqueeze'),
      [at('mask.flat'), b.ints('first_axes', [0, 1])],
      [at('mask')],
    ),
  ];
}

/** A loop needs to know that its number and its condition have no dimensions. */
function scalarInfo(name: string, elemType: Type): ValueInfoProto {
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: 'tensorType', value: { elemType, shape: {} } } },
  });
}

/** A sequence of float tensors. */
function sequenceInfo(name: string): ValueInfoProto {
  const value = { elemType: Type.FLOAT };
  const elemType = { value: { case: 'tensorType' as const, value } };
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: 'sequenceType', value: { elemType } } },
  });
}

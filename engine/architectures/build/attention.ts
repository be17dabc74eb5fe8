import { STEP_INPUT } from '../../importer/imported-model.js';
import { TensorProto_DataType as Type } from '../../importer/onnx/onnx_pb.js';
import type { RecognizedAttention } from '../../importer/recognizers/recognizer.js';
import { SITE } from '../../importer/recognizers/replace-site.js';
import type { Attention, HeadNorm, Linear } from '../decoder.js';
import type { Mixed } from './convolution.js';
import type { GraphBuilder } from './graph-builder.js';
import { hideFirst, MARK_SIZE, withoutMark } from './hidden-first.js';
import { heads as headsOf, joinedLayer, linearLayer, normLayer, parts, tokens } from './layers.js';
import type { RotaryTables } from './rotary-tables.js';
import { rotated, rotatesInGraph } from './rotation.js';

/**
 * Whose queries, keys and values come from one matmul: those of all weights, of packed ones alone,
 * or none. (Gates and what they let through stay apart: taking them out of one tensor would copy
 * the widest of a layer.)
 */
export type Joins = 'all' | 'packed' | 'none';

/** What an attention layer needs besides its description. */
export interface AttentionContext {
  readonly layer: number;
  /** Length of the longest sequence that is served, in tokens. */
  readonly servedLength: number;
  readonly tables: RotaryTables;
  readonly joins: Joins;
  /** Values of its sinks; null without. */
  readonly sinks: Float32Array | null;
  /** Whether no token attends to the first one of its sequence; absent: all do. */
  readonly hidesFirst?: boolean;
}

/**
 * An attention layer around its site: `[1, T, hidden]` to the same.
 *
 * @param x input, normed
 */
export function attentionLayer(
  b: GraphBuilder,
  x: string,
  attention: Attention,
  context: AttentionContext,
): Mixed<RecognizedAttention> {
  const { numHeads, numKvHeads, headSize, scale, softcap, slidingWindow, rotary } = attention;
  const projected = projections(b, x, attention, context.joins);
  const inGraph = rotary !== null && rotatesInGraph(rotary, context.servedLength);
  const turn = (tensor: string, heads: number): string =>
    inGraph ? rotated(b, tensor, rotary, { heads, headSize }) : tensor;
  const ownQuery = grown(
    b,
    turn(headNorm(b, projected.query, attention.queryNorm, numHeads), numHeads),
    attention.queryGrowth,
  );
  const ownStored = projected.stored && {
    key: turn(headNorm(b, projected.stored.key, attention.keyNorm, numKvHeads), numKvHeads),
    value: headNorm(b, projected.stored.value, attention.valueNorm ?? null, numKvHeads),
  };
  const marked =
    context.hidesFirst && ownStored
      ? hideFirst(b, { query: ownQuery, ...ownStored }, attention)
      : null;
  const query = marked?.query ?? ownQuery;
  const stored = marked ?? ownStored;
  const name = `layers.${context.layer}/attention`;
  const given = stored ? [query, stored.key, stored.value] : [query];
  const node = b.split(SITE, name, given, [name]);
  const kinds = attention.projections;
  const owner = kinds.kind === 'query' ? kinds.keysOf : context.layer;
  const site: RecognizedAttention = {
    form: 'described',
    node,
    shape: {
      numHeads,
      numKvHeads,
      headSize: marked ? headSize + MARK_SIZE : headSize,
      scale,
      softcap,
      slidingWindow,
      sinks: context.sinks,
      alibiSlopes: null,
      rotary: rotary && !inGraph ? context.tables.of(rotary) : null,
    },
    query,
    key: stored?.key ?? null,
    value: stored?.value ?? null,
    output: name,
    cache: `layers.${owner}/cache`,
  };
  const { gate } = projected;
  const attended = marked ? withoutMark(b, name, attention) : name;
  const closed = gate === null ? attended : opened(b, attended, gate);
  return { output: linearLayer(b, closed, attention.output), sites: [site] };
}

interface Projected {
  readonly query: string;
  /** Null: those of an earlier layer are read. */
  readonly stored: { readonly key: string; readonly value: string } | null;
  /** As wide as the attention's output. */
  readonly gate: string | null;
}

/** `x * sigmoid(gate)` */
function opened(b: GraphBuilder, x: string, gate: string): string {
  return b.node('Mul', `${x}/gated`, [x, b.node('Sigmoid', `${gate}/sigmoid`, [gate])]);
}

function projections(b: GraphBuilder, x: string, attention: Attention, joins: Joins): Projected {
  const { projections: kinds, clip } = attention;
  const cut = (tensor: string): string =>
    clip === null
      ? tensor
      : b.node('Clip', `${tensor}/clipped`, [
          tensor,
          b.float(`number.${-clip}`, -clip),
          b.float(`number.${clip}`, clip),
        ]);
  if (kinds.kind === 'packed') {
    const packed = linearLayer(b, x, kinds.linear);
    const { query, key, value } = unpacked(b, packed, kinds.order, attention);
    return { query: cut(query), stored: { key: cut(key), value: cut(value) }, gate: null };
  }
  const joined =
    joins !== 'none' && kinds.kind === 'separate'
      ? joinedLayer(b, x, [kinds.query, kinds.key, kinds.value], joins === 'all')
      : null;
  if (joined !== null) {
    const { query, key, value } = unpacked(b, cut(joined), 'parts', attention);
    return { query, stored: { key, value }, gate: null };
  }
  const make = (linear: Linear): string => cut(linearLayer(b, x, linear));
  if (kinds.kind === 'query') return { query: make(kinds.query), stored: null, gate: null };
  const [key, value] = [make(kinds.key), make(kinds.value)];
  const stored = { key, value };
  if (kinds.kind === 'separate') return { query: make(kinds.query), stored, gate: null };
  const { numHeads, headSize } = attention;
  const both = headsOf(b, make(kinds.queryGate), numHeads, 2 * headSize);
  const [query, gate] = parts(b, both, [headSize, headSize]).map((part) =>
    tokens(b, part, numHeads * headSize),
  );
  return { query, stored, gate };
}

/** Queries, keys and values of a tensor that has them side by side. */
function unpacked(
  b: GraphBuilder,
  packed: string,
  order: 'parts' | 'heads',
  { numHeads, numKvHeads, headSize }: Attention,
): Readonly<Record<'query' | 'key' | 'value', string>> {
  if (order === 'parts') {
    const sizes = [numHeads, numKvHeads, numKvHeads].map((heads) => heads * headSize);
    const [query, key, value] = parts(b, packed, sizes);
    return { query, key, value };
  }
  const each = parts(b, headsOf(b, packed, numHeads, 3 * headSize), [headSize, headSize, headSize]);
  const [query, key, value] = each.map((part) => tokens(b, part, numHeads * headSize));
  return { query, key, value };
}

/** Norms queries, keys or values `[1, T, heads * headSize]`. */
function headNorm(b: GraphBuilder, x: string, norm: HeadNorm | null, heads: number): string {
  if (!norm) return x;
  if (norm.of === 'row') return normLayer(b, x, norm.norm);
  const { size } = norm.norm;
  return tokens(b, normLayer(b, headsOf(b, x, heads, size), norm.norm), heads * size);
}

/** Multiplies queries by `1 + beta * ln(1 + floor(position / length))`. */
function grown(b: GraphBuilder, query: string, growth: Attention['queryGrowth']): string {
  if (!growth) return query;
  const at = (part: string): string => `query_growth.${part}`;
  const one = b.float('one', 1);
  const positions = b.node('Cast', at('positions'), [STEP_INPUT.positionIds], { to: Type.FLOAT });
  const periods = b.node('Div', at('periods'), [positions, b.float(at('length'), growth.length)]);
  const whole = b.node('Add', at('whole'), [b.node('Floor', at('floor'), [periods]), one]);
  const logs = b.node('Mul', at('logs'), [
    b.node('Log', at('log'), [whole]),
    b.float(at('beta'), growth.beta),
  ]);
  const factors = b.node('Unsqueeze', at('factors'), [
    b.node('Add', at('sum'), [logs, one]),
    b.ints('last_axis', [-1]),
  ]);
  return b.node('Mul', `${query}/grown`, [query, factors]);
}

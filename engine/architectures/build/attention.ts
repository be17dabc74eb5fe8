import { STEP_INPUT } from '../../importer/imported-model.js';
import { TensorProto_DataType as Type } from '../../importer/onnx/onnx_pb.js';
import type { RecognizedSite } from '../../importer/recognizers/recognizer.js';
import { SITE } from '../../importer/recognizers/replace-site.js';
import type { Attention, HeadNorm, Linear } from '../decoder.js';
import type { GraphBuilder } from './graph-builder.js';
import { linearLayer, normLayer } from './layers.js';
import type { RotaryTables } from './rotary-tables.js';
import { rotated, rotatesInGraph } from './rotation.js';

/** What an attention layer needs besides its description. */
export interface AttentionContext {
  readonly layer: number;
  /** Length of the longest sequence that is served, in tokens. */
  readonly servedLength: number;
  readonly tables: RotaryTables;
  /** Values of its sinks; null without. */
  readonly sinks: Float32Array | null;
}

/**
 * An attention layer around its site, at which the graph is cut: `[1, T, hidden]` to the same.
 *
 * @param x input, normed
 * @returns the output, and the site
 */
export function attentionLayer(
  b: GraphBuilder,
  x: string,
  attention: Attention,
  context: AttentionContext,
): { readonly output: string; readonly site: RecognizedSite } {
  const { numHeads, numKvHeads, headSize, scale, softcap, slidingWindow, rotary } = attention;
  const projected = projections(b, x, attention);
  const inGraph = rotary !== null && rotatesInGraph(rotary, context.servedLength);
  const turn = (tensor: string, heads: number): string =>
    inGraph ? rotated(b, tensor, rotary, { heads, headSize }) : tensor;
  const query = grown(
    b,
    turn(headNorm(b, projected.query, attention.queryNorm, numHeads), numHeads),
    attention.queryGrowth,
  );
  const key = turn(headNorm(b, projected.key, attention.keyNorm, numKvHeads), numKvHeads);
  const { value } = projected;
  const name = `layers.${context.layer}/attention`;
  const node = b.split(SITE, name, [query, key, value], [name]);
  const site: RecognizedSite = {
    form: 'described',
    node,
    shape: {
      numHeads,
      numKvHeads,
      headSize,
      scale,
      softcap,
      slidingWindow,
      sinks: context.sinks,
      alibiSlopes: null,
      rotary: rotary && !inGraph ? context.tables.of(rotary) : null,
    },
    query,
    key,
    value,
    output: name,
    cache: null,
  };
  return { output: linearLayer(b, name, attention.output), site };
}

type Projected = Readonly<Record<'query' | 'key' | 'value', string>>;

function projections(b: GraphBuilder, x: string, attention: Attention): Projected {
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
    const { query, key, value } = unpacked(b, x, kinds.linear, kinds.order, attention);
    return { query: cut(query), key: cut(key), value: cut(value) };
  }
  const make = (linear: Linear): string => cut(linearLayer(b, x, linear));
  return { query: make(kinds.query), key: make(kinds.key), value: make(kinds.value) };
}

function unpacked(
  b: GraphBuilder,
  x: string,
  linear: Linear,
  order: 'parts' | 'heads',
  { numHeads, numKvHeads, headSize }: Attention,
): Projected {
  const packed = linearLayer(b, x, linear);
  const [query, key, value] = ['query', 'key', 'value'].map((part) => `${packed}/${part}`);
  const parts = { query, key, value };
  if (order === 'parts') {
    const sizes = [numHeads, numKvHeads, numKvHeads].map((heads) => heads * headSize);
    const list = b.ints(`split.${sizes.join()}`, sizes);
    b.split('Split', `${packed}/parts`, [packed, list], Object.values(parts), { axis: -1 });
    return parts;
  }
  const heads = b.node('Reshape', `${packed}/heads`, [
    packed,
    b.ints(`heads.${numHeads}.${3 * headSize}`, [1, -1, numHeads, 3 * headSize]),
  ]);
  const list = b.ints(`split.${headSize}`, [headSize, headSize, headSize]);
  const pieces = Object.values(parts).map((name) => `${name}_heads`);
  b.split('Split', `${packed}/parts`, [heads, list], pieces, { axis: -1 });
  const rows = b.ints(`tokens.${numHeads * headSize}`, [1, -1, numHeads * headSize]);
  for (const [index, name] of Object.values(parts).entries()) {
    b.node('Reshape', name, [pieces[index], rows]);
  }
  return parts;
}

/** Norms queries or keys `[1, T, heads * headSize]`. */
function headNorm(b: GraphBuilder, x: string, norm: HeadNorm | null, heads: number): string {
  if (!norm) return x;
  if (norm.of === 'row') return normLayer(b, x, norm.norm);
  const { size } = norm.norm;
  const split = b.ints(`heads.${heads}.${size}`, [1, -1, heads, size]);
  const normed = normLayer(b, b.node('Reshape', `${x}/heads`, [x, split]), norm.norm);
  return b.node('Reshape', `${x}/normed`, [
    normed,
    b.ints(`tokens.${heads * size}`, [1, -1, heads * size]),
  ]);
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

import type { Laurel, LayerStreams, Linear, Streams } from '../decoder.js';
import type { GraphBuilder } from './graph-builder.js';
import { linearLayer, meanOf, normLayer, scaled } from './layers.js';

/** The least square of a magnitude that is divided by. */
const LEAST = 1e-5;
/** Of tensors `[1, T, count, hidden]`. */
const STREAM_AXIS = 2;

/** The streams `[1, T, count, hidden]` of an embedding `[1, T, hidden]`. */
export function spreadStreams(b: GraphBuilder, x: string, { spread }: Streams): string {
  const target = magnitude(b, x);
  const all = [x, ...spread.map((linear) => matched(b, linearLayer(b, x, linear), target))];
  const columns = all.map((each) => raised(b, each));
  return b.node('Concat', 'streams', columns, { axis: STREAM_AXIS });
}

/** The average of streams, `[1, T, hidden]`. */
export function mergedStreams(
  b: GraphBuilder,
  streams: string,
  { count, merged }: Streams,
): string {
  const first = streamOf(b, streams, 0);
  const target = magnitude(b, first);
  const others = merged.map((linear: Linear, i) =>
    matched(b, linearLayer(b, streamOf(b, streams, i + 1), linear), target),
  );
  const sum = [first, ...others].reduce((a, each) => b.node('Add', `${each}/merged`, [a, each]));
  return scaled(b, sum, 1 / count);
}

/** @returns one stream, `[1, T, hidden]` */
export function streamOf(b: GraphBuilder, streams: string, index: number): string {
  const at = b.ints(`index.${index}`, [index], []);
  return b.node('Gather', `${streams}/${index}`, [streams, at], { axis: STREAM_AXIS });
}

/** All streams, as a layer expects them. */
export function predictedStreams(
  b: GraphBuilder,
  streams: string,
  layer: LayerStreams,
  { active, count }: Streams,
): string {
  const routed = routing(b, streamOf(b, streams, active), layer);
  const matrix = b.node('Reshape', `${routed}/prediction`, [
    linearLayer(b, routed, layer.prediction),
    b.ints(`heads.${count}.${count}`, [1, -1, count, count]),
  ]);
  const change = b.node('MatMul', `${streams}/change`, [matrix, streams]);
  return b.node('Add', `${streams}/predicted`, [streams, change]);
}

/** All streams, after what a layer has made of the active one, `[1, T, hidden]`. */
export function correctedStreams(
  b: GraphBuilder,
  predicted: string,
  made: string,
  layer: LayerStreams,
  { active }: Streams,
): string {
  const factors = linearLayer(b, routing(b, made, layer), layer.correction);
  const whole = b.node('Add', `${factors}/whole`, [factors, b.float('one', 1)]);
  const column = b.node('Unsqueeze', `${factors}/column`, [whole, b.ints('last_axis', [-1])]);
  const news = b.node('Sub', `${made}/news`, [made, streamOf(b, predicted, active)]);
  const change = b.node('Mul', `${made}/change`, [column, raised(b, news)]);
  return b.node('Add', `${made}/corrected`, [predicted, change]);
}

/** Adds a tensor `[1, T, hidden]` to all streams but the first. */
export function addToOthers(
  b: GraphBuilder,
  streams: string,
  x: string,
  { count }: Streams,
): string {
  const others = Float32Array.from({ length: count }, (_, i) => (i === 0 ? 0 : 1));
  const mask = b.floats(`others.${count}`, others, [count, 1]);
  const added = b.node('Mul', `${x}/to_others`, [raised(b, x), mask]);
  return b.node('Add', `${x}/residual`, [streams, added]);
}

/** @param x the attention's input, `[1, T, hidden]` */
export function laurelLayer(b: GraphBuilder, x: string, { left, right, norm }: Laurel): string {
  const normed = normLayer(b, linearLayer(b, linearLayer(b, x, left), right), norm);
  return b.node('Add', `${normed}/laurel`, [x, normed]);
}

function routing(b: GraphBuilder, x: string, { norm, router, routerScale }: LayerStreams): string {
  const routed = linearLayer(b, scaled(b, normLayer(b, x, norm), routerScale), router);
  return b.node('Tanh', `${routed}/routing`, [routed]);
}

/** `[1, T, hidden]` to `[1, T, 1, hidden]`. */
function raised(b: GraphBuilder, x: string): string {
  return b.node('Unsqueeze', `${x}/stream`, [x, b.ints('stream_axis', [STREAM_AXIS])]);
}

/** Mean square of each row, `[1, T, 1]`. */
function power(b: GraphBuilder, x: string): string {
  return meanOf(b, b.node('Mul', `${x}/square`, [x, x]));
}

function magnitude(b: GraphBuilder, x: string): string {
  return b.node('Sqrt', `${x}/magnitude`, [power(b, x)]);
}

/** Scales rows to magnitudes `[1, T, 1]`. */
function matched(b: GraphBuilder, x: string, target: string): string {
  const least = b.node('Max', `${x}/power`, [power(b, x), b.float(`number.${LEAST}`, LEAST)]);
  const product = b.node('Mul', `${x}/times_target`, [x, target]);
  return b.node('Div', `${x}/matched`, [product, b.node('Sqrt', `${x}/magnitude`, [least])]);
}

import type { ClampedMlp } from '../decoder.js';
import type { GraphBuilder } from './graph-builder.js';
import { linearLayer, scaled } from './layers.js';

/** Of `[..., T, width]`. */
export function clampedMlpLayer(b: GraphBuilder, x: string, mlp: ClampedMlp): string {
  const { both, down, alpha, limit } = mlp;
  const made = linearLayer(b, x, both);
  const at = (part: string): string => `${made}/${part}`;
  const [most, least] = [limit, -limit].map((value) => b.float(`number.${value}`, value));
  const gate = b.node('Min', at('gate'), [everySecond(b, made, 0), most]);
  const below = b.node('Min', at('below'), [everySecond(b, made, 1), most]);
  const up = b.node('Max', at('up'), [below, least]);
  const open = b.node('Sigmoid', at('open'), [scaled(b, gate, alpha)]);
  const passed = b.node('Mul', at('passed'), [gate, open]);
  const raised = b.node('Add', at('raised'), [up, b.float('one', 1)]);
  return linearLayer(b, b.node('Mul', at('gated'), [raised, passed]), down);
}

/** Numbers of the last axis, from the given one on. */
function everySecond(b: GraphBuilder, x: string, first: number): string {
  const [end, axis, step] = [2 ** 31 - 1, -1, 2];
  return b.node('Slice', `${x}/every_second.${first}`, [
    x,
    ...[first, end, axis, step].map((value) => b.ints(`int.${value}`, [value])),
  ]);
}

import type { ClampedMlp } from '../decoder.js';
import type { GraphBuilder } from './graph-builder.js';
import { linearLayer, scaled } from './layers.js';

/** Of `[..., T, width]`. */
export function clampedMlpLayer(b: GraphBuilder, x: string, mlp: ClampedMlp): string {
  const { input, down, alpha, limit } = mlp;
  const [gates, raw] = inputsOf(b, x, input);
  const at = (part: string): string => `${gates}/${part}`;
  const [most, least] = [limit, -limit].map((value) => b.float(`number.${value}`, value));
  const gate = b.node('Min', at('gate'), [gates, most]);
  const below = b.node('Min', at('below'), [raw, most]);
  const up = b.node('Max', at('up'), [below, least]);
  const open = b.node('Sigmoid', at('open'), [scaled(b, gate, alpha)]);
  const passed = b.node('Mul', at('passed'), [gate, open]);
  const raised = b.node('Add', at('raised'), [up, b.float('one', 1)]);
  return linearLayer(b, b.node('Mul', at('gated'), [raised, passed]), down);
}

/** Gates, and what they let through. */
function inputsOf(b: GraphBuilder, x: string, input: ClampedMlp['input']): [string, string] {
  if ('gate' in input) return [linearLayer(b, x, input.gate), linearLayer(b, x, input.up)];
  const made = linearLayer(b, x, input.both);
  return [everySecond(b, made, 0), everySecond(b, made, 1)];
}

/** Numbers of the last axis, from the given one on. */
function everySecond(b: GraphBuilder, x: string, first: number): string {
  const [end, axis, step] = [2 ** 31 - 1, -1, 2];
  return b.node('Slice', `${x}/every_second.${first}`, [
    x,
    ...[first, end, axis, step].map((value) => b.ints(`int.${value}`, [value])),
  ]);
}

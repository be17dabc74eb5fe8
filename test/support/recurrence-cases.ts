import fc from 'fast-check';
import {
  inputWidths,
  isDelta,
  isGated,
  type LinearAttention,
  type Recurrence,
  type ShortConvolution,
  UPDATE_RULES,
} from '../../engine/recurrent/recurrence.js';

const ratio = fc.constantFrom(1, 2, 3);
const size = fc.constantFrom(1, 4, 5, 8, 12, 16);

const convolution = fc
  .record({
    channels: fc.integer({ min: 1, max: 9 }),
    taps: fc.integer({ min: 2, max: 5 }),
    hasBias: fc.boolean(),
    activation: fc.constantFrom('none' as const, 'silu' as const),
  })
  .map(({ channels, taps, hasBias, activation }): ShortConvolution => {
    const numbers = noise(7);
    const weight = Float32Array.from({ length: channels * taps }, numbers);
    const bias = hasBias ? Float32Array.from({ length: channels }, numbers) : null;
    return { kind: 'convolution', channels, taps, weight, bias, activation };
  });

const attention = fc
  .record({
    rule: fc.constantFrom(...UPDATE_RULES),
    numKeyHeads: fc.constantFrom(1, 2),
    perKey: ratio,
    // Fewer queries than states, or more.
    queries: fc.constantFrom('fewer' as const, 'as many' as const, 'more' as const),
    keySize: size,
    valueSize: size,
    scale: fc.constantFrom(1, 0.25),
    decaysByKey: fc.boolean(),
    sharesRate: fc.boolean(),
  })
  .map((layer): LinearAttention => {
    const { perKey, queries, rule, numKeyHeads, keySize, valueSize, scale, sharesRate } = layer;
    const numHeads = numKeyHeads * perKey;
    const numQueryHeads =
      queries === 'fewer' ? numKeyHeads : queries === 'as many' ? numHeads : 2 * numHeads;
    const decaysByKey = layer.decaysByKey && keySize > 1;
    return {
      kind: 'linear-attention',
      rule,
      numHeads,
      numQueryHeads,
      numKeyHeads,
      keySize,
      valueSize,
      scale,
      decaysByKey,
      sharesRate,
    };
  });

export const anyRecurrence: fc.Arbitrary<Recurrence> = fc.oneof(convolution, attention);

/**
 * Inputs of a layer with numbers as models have them: decays are negative, and rates between 0 and
 * 1.
 *
 * @param widths numbers of each input for a token; default: those of the layer
 */
export function randomInputs(
  layer: Recurrence,
  numTokens: number,
  seed: number,
  widths?: readonly number[],
): Float32Array[] {
  const numbers = noise(seed);
  if (widths) return widths.map((length) => Float32Array.from({ length }, numbers));
  const inputs = inputWidths(layer).map((width) =>
    Float32Array.from({ length: width * numTokens }, numbers),
  );
  if (layer.kind === 'convolution') return inputs;
  const positive = (values: Float32Array, sign: number): void => {
    for (const [i, value] of values.entries()) values[i] = sign * Math.abs(value);
  };
  if (isGated(layer)) positive(inputs[3], -1);
  if (isDelta(layer)) positive(inputs[inputs.length - 1], 1);
  return inputs;
}

/** Numbers from -1 to 1. */
function noise(seed: number): () => number {
  let state = Math.imul(seed + 1, 2654435761) >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

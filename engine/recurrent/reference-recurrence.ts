import {
  isDelta,
  isGated,
  type LinearAttention,
  outputWidth,
  type Recurrence,
  type RecurrenceKernel,
  type ShortConvolution,
  stateSize,
  type TokenRange,
} from './recurrence.js';

/**
 * Layers with a state in plain loops: the definition that faster implementations are tested
 * against. It sums in float64 and keeps states in float32.
 */
export class ReferenceRecurrence implements RecurrenceKernel {
  readonly #layers: readonly Recurrence[];
  #step: Step | null = null;

  constructor(layers: readonly Recurrence[]) {
    this.#layers = layers;
  }

  begin(layer: number, inputs: readonly Float32Array[], numTokens: number): Uint8Array {
    const description = this.#layers[layer];
    const state = new Float32Array(stateSize(description));
    const output = new Float32Array(outputWidth(description) * numTokens);
    this.#step = { layer: description, inputs, state, output, numTokens };
    return new Uint8Array(state.buffer);
  }

  advance(range: TokenRange): void {
    const step = this.#begun();
    const { layer } = step;
    if (layer.kind === 'convolution') convolve(layer, step, range);
    else attend(layer, step, range);
  }

  end(output: Float32Array): void {
    output.set(this.#begun().output);
    this.#step = null;
  }

  dispose(): Promise<void> {
    return Promise.resolve();
  }

  #begun(): Step {
    if (!this.#step) throw new Error('a layer is computed before it has begun');
    return this.#step;
  }
}

interface Step {
  readonly layer: Recurrence;
  readonly inputs: readonly Float32Array[];
  readonly state: Float32Array;
  readonly output: Float32Array;
  readonly numTokens: number;
}

function convolve(
  { channels, taps, weight, bias, activation }: ShortConvolution,
  { inputs: [input], state, output, numTokens: total }: Step,
  { first, count }: TokenRange,
): void {
  const past = taps - 1;
  for (let c = 0; c < channels; c++) {
    // Tokens before the range are at negative places.
    const at = (t: number): number =>
      t < 0 ? state[c * past + past + t] : input[c * total + first + t];
    for (let t = 0; t < count; t++) {
      let sum = bias ? bias[c] : 0;
      for (let j = 0; j < taps; j++) sum += weight[c * taps + j] * at(t - past + j);
      output[c * total + first + t] = activation === 'silu' ? sum / (1 + Math.exp(-sum)) : sum;
    }
    const last = Array.from({ length: past }, (_, i) => at(count - past + i));
    for (let i = 0; i < past; i++) state[c * past + i] = last[i];
  }
}

function attend(
  layer: LinearAttention,
  { inputs, state, output }: Step,
  { first, count }: TokenRange,
): void {
  const { numHeads, numQueryHeads, keySize, valueSize } = layer;
  for (let t = first; t < first + count; t++) {
    for (let head = 0; head < numHeads; head++) update(layer, inputs, state, t, head);
    const numOutputs = Math.max(numHeads, numQueryHeads);
    for (let out = 0; out < numOutputs; out++) {
      const head = Math.floor((out * numHeads) / numOutputs);
      const query = t * numQueryHeads + Math.floor((out * numQueryHeads) / numOutputs);
      for (let j = 0; j < valueSize; j++) {
        let sum = 0;
        for (let i = 0; i < keySize; i++) {
          sum += inputs[0][query * keySize + i] * state[(head * keySize + i) * valueSize + j];
        }
        output[(t * numOutputs + out) * valueSize + j] = layer.scale * sum;
      }
    }
  }
}

/** Takes token `t` into the state of a head. */
function update(
  layer: LinearAttention,
  inputs: readonly Float32Array[],
  state: Float32Array,
  t: number,
  head: number,
): void {
  const { numHeads, numKeyHeads, keySize, valueSize, decaysByKey, sharesRate } = layer;
  const [, keys, values, ...rest] = inputs;
  const decays = isGated(layer) ? rest.shift() : undefined;
  const rates = isDelta(layer) ? rest.shift() : undefined;
  const key = (t * numKeyHeads + Math.floor((head * numKeyHeads) / numHeads)) * keySize;
  const value = (t * numHeads + head) * valueSize;
  const start = head * keySize * valueSize;
  const decay = (i: number): number => {
    if (!decays) return 1;
    return Math.exp(
      decays[decaysByKey ? (t * numHeads + head) * keySize + i : t * numHeads + head],
    );
  };
  const factors = Float64Array.from({ length: keySize }, (_, i) => decay(i));
  for (let j = 0; j < valueSize; j++) {
    let added = values[value + j];
    if (rates) {
      let known = 0;
      for (let i = 0; i < keySize; i++) {
        known += factors[i] * state[start + i * valueSize + j] * keys[key + i];
      }
      added = rates[sharesRate ? t : t * numHeads + head] * (added - known);
    }
    for (let i = 0; i < keySize; i++) {
      const at = start + i * valueSize + j;
      state[at] = factors[i] * state[at] + keys[key + i] * added;
    }
  }
}

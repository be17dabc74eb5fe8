import { isDelta, isGated, type LinearAttention, type ShortConvolution } from './recurrence.js';

// The host's side of engine/attention/kernel/assembly/recurrent-layout.ts: words of the header of a
// layer. Pointers are byte offsets in the kernel's memory.

export const HEADER_BYTES = 128;

const WORD = {
  isConvolution: 0,
  state: 1,
  first: 2,
  count: 3,
  total: 4,
  numTasks: 5,
  nextTask: 6,
} as const;

const CONVOLUTION = 8;
const ATTENTION = 8;

/** Channels of a convolution in one task. */
const TASK_CHANNELS = 64;

/** Where the arrays of a layer are, for one step. */
export interface LayerPlaces {
  readonly state: number;
  /** By input of the layer. */
  readonly inputs: readonly number[];
  readonly output: number;
  /** Of a convolution; 0 for no bias. */
  readonly weight: number;
  readonly bias: number;
  /** Address of a float 1. */
  readonly one: number;
}

/** A header as words of both types, over the same memory. */
export interface Header {
  readonly words: Uint32Array;
  readonly floats: Float32Array;
}

/** Writes what is the same for all tokens of a step. @returns the number of tasks of a run */
export function writeHeader(
  header: Header,
  layer: ShortConvolution | LinearAttention,
  places: LayerPlaces,
  numTokens: number,
): number {
  const { words } = header;
  const isConvolution = layer.kind === 'convolution';
  const tasks = isConvolution ? Math.ceil(layer.channels / TASK_CHANNELS) : layer.numHeads;
  words[WORD.isConvolution] = isConvolution ? 1 : 0;
  words[WORD.state] = places.state;
  words[WORD.total] = numTokens;
  words[WORD.numTasks] = tasks;
  if (isConvolution) writeConvolution(words, layer, places);
  else writeAttention(header, layer, places);
  return tasks;
}

/** Writes which tokens are taken in next. */
export function writeRun({ words }: Header, first: number, count: number): void {
  words[WORD.first] = first;
  words[WORD.count] = count;
  words[WORD.nextTask] = 0;
}

function writeConvolution(words: Uint32Array, layer: ShortConvolution, places: LayerPlaces): void {
  const silu = layer.activation === 'silu' ? 1 : 0;
  const { output, weight, bias, inputs } = places;
  words.set([inputs[0], output, weight, bias, layer.channels, layer.taps, silu], CONVOLUTION);
}

function writeAttention(
  { words, floats }: Header,
  layer: LinearAttention,
  { inputs, output, one }: LayerPlaces,
): void {
  const { numHeads, numQueryHeads, numKeyHeads, keySize, valueSize } = layer;
  const [query, key, value, ...rest] = inputs;
  const factors = isGated(layer) ? (rest.shift() ?? 0) : one;
  const perHead = layer.decaysByKey ? keySize : 1;
  // Without decays, all states have the one factor.
  const steps = isGated(layer)
    ? [4 * numHeads * perHead, 4 * perHead, layer.decaysByKey ? 4 : 0]
    : [0, 0, 0];
  const rates = isDelta(layer) ? (rest.shift() ?? 0) : 0;
  const rateSteps = layer.sharesRate ? [4, 0] : [4 * numHeads, 4];
  const sizes = [numHeads, numQueryHeads, numKeyHeads, keySize, valueSize];
  const all = [query, key, value, factors, ...steps, rates, ...rateSteps, output, ...sizes];
  words.set(all, ATTENTION);
  floats[ATTENTION + all.length] = layer.scale;
}

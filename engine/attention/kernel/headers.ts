import type { AttentionShape, KvDtype } from '../paged-attention.js';

/**
 * Words of the layer header; assembly/layout.ts is the kernel's side of it. Pointers are byte
 * offsets in the layer's memory.
 */
const LAYER = {
  keyPages: 0,
  valuePages: 1,
  keyScales: 2,
  valueScales: 3,
  numHeads: 4,
  numKvHeads: 5,
  headSize: 6,
  blockSize: 7,
  format: 8,
  scale: 9,
  softcap: 10,
  window: 11,
  sinks: 12,
  alibi: 13,
  cos: 14,
  sin: 15,
  rotaryDim: 16,
  interleaved: 17,
} as const;

const STEP = {
  queryStarts: 0,
  contextLengths: 1,
  blockTables: 2,
  tableStarts: 3,
  numSequences: 4,
  query: 5,
  key: 6,
  value: 7,
  output: 8,
  tiles: 9,
  numTasks: 10,
  nextTask: 11,
  selection: 12,
  lastSeen: 13,
  tasks: 14,
  taskTiles: 15,
  spans: 16,
  pending: 17,
  states: 18,
  tokenBytes: 19,
} as const;

export const HEADER_BYTES = 128;

const FORMATS: Record<KvDtype, number> = { f32: 0, bf16: 1, int16: 2, int8: 3 };

/** Offsets of a layer's data in its memory; 0 means absent. */
export interface LayerPlaces {
  readonly keyPages: number;
  readonly valuePages: number;
  readonly keyScales: number;
  readonly valueScales: number;
  readonly sinks: number;
  readonly alibi: number;
  readonly cos: number;
  readonly sin: number;
}

export function writeLayerHeader(
  memory: WebAssembly.Memory,
  header: number,
  shape: AttentionShape,
  places: LayerPlaces,
  blockSize: number,
  kvDtype: KvDtype,
): void {
  const words = new Uint32Array(memory.buffer, header, HEADER_BYTES / 4);
  const floats = new Float32Array(memory.buffer, header, HEADER_BYTES / 4);
  words[LAYER.keyPages] = places.keyPages;
  words[LAYER.valuePages] = places.valuePages;
  words[LAYER.keyScales] = places.keyScales;
  words[LAYER.valueScales] = places.valueScales;
  words[LAYER.numHeads] = shape.numHeads;
  words[LAYER.numKvHeads] = shape.numKvHeads;
  words[LAYER.headSize] = shape.headSize;
  words[LAYER.blockSize] = blockSize;
  words[LAYER.format] = FORMATS[kvDtype];
  floats[LAYER.scale] = shape.scale;
  floats[LAYER.softcap] = shape.softcap;
  words[LAYER.window] = shape.slidingWindow;
  words[LAYER.sinks] = places.sinks;
  words[LAYER.alibi] = places.alibi;
  words[LAYER.cos] = places.cos;
  words[LAYER.sin] = places.sin;
  words[LAYER.rotaryDim] = shape.rotary?.dim ?? 0;
  words[LAYER.interleaved] = shape.rotary?.interleaved ? 1 : 0;
}

/** Words of the step header that are set for each layer. */
const OF_A_LAYER = ['query', 'key', 'value', 'tokenBytes', 'selection'] as const;

/** Where a layer's Q, K and V lie in its memory, and what says which pages are read. */
export type LayerInputs = Readonly<Record<(typeof OF_A_LAYER)[number], number>>;

/** Values of the step header that all layers with one plan share, by name. */
export type StepValues = Readonly<
  Record<Exclude<keyof typeof STEP, 'nextTask' | keyof LayerInputs>, number>
>;

/** The words of a step's header, before any task is taken and without the inputs of a layer. */
export function stepHeader(values: StepValues): Uint32Array {
  const words = new Uint32Array(HEADER_BYTES / 4);
  for (const [name, value] of Object.entries(values)) words[STEP[name as keyof StepValues]] = value;
  return words;
}

/** Sets what differs from layer to layer. */
export function setInputs(words: Uint32Array, inputs: LayerInputs): void {
  for (const name of OF_A_LAYER) words[STEP[name]] = inputs[name];
}

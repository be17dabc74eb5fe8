import { Tensor } from 'onnxruntime-node';
import type { ScheduledSequence, StepPlan } from '../../scheduler/step-plan.js';
import type { ImageStore } from '../core/image-store.js';
import { type ImageInputs, STEP_INPUT } from '../importer/imported-model.js';

/** For plans without images. */
export const NO_IMAGES: Pick<ImageStore, 'get'> = {
  get: (key) => {
    throw new Error(`the plan has the image ${key}, and the runner has none`);
  },
};

/** Time, height and width. */
const AXES = 3;

/**
 * What a step feeds to a model that takes images: rows of those whose tokens it computes, whole or
 * in part, and how far the positions of all tokens are from their places in the text.
 *
 * @param store has the images of all sequences of the plan
 */
export function imageTensors(
  plan: StepPlan,
  { width, hasPositions, numDeepstack }: ImageInputs,
  store: Pick<ImageStore, 'get'>,
): Map<string, Tensor> {
  const places: number[] = [];
  const pieces: Float32Array[] = [];
  /** `[layer]` */
  const features = Array.from({ length: numDeepstack }, (): Float32Array[] => []);
  const shifts = new BigInt64Array(hasPositions ? AXES * plan.numTokens : 0);
  let row = 0;
  for (const sequence of plan.sequences) {
    const { tokenIds, numComputed, contents = [] } = sequence;
    const last = numComputed + tokenIds.length;
    for (const { key, start, end } of contents) {
      const [from, to] = [Math.max(start, numComputed), Math.min(end, last)];
      if (from >= to) continue;
      for (let token = from; token < to; token++) places.push(row + token - numComputed);
      const { rows, deepstack } = store.get(key);
      const own = (all: Float32Array): Float32Array =>
        all.subarray((from - start) * width, (to - start) * width);
      pieces.push(own(rows));
      for (const [layer, list] of features.entries()) list.push(own(deepstack[layer]));
    }
    if (hasPositions && contents.length > 0) shiftPositions(sequence, row, plan, store, shifts);
    row += tokenIds.length;
  }
  const tensors = new Map([
    [STEP_INPUT.imageRows, scatterPlaces(places)],
    [STEP_INPUT.imageEmbeds, joined(pieces, [places.length, width])],
  ] as [string, Tensor][]);
  if (numDeepstack > 0) {
    const dims = [numDeepstack, places.length, width];
    tensors.set(STEP_INPUT.deepstackEmbeds, joined(features.flat(), dims));
  }
  if (hasPositions) {
    const dims = [AXES, 1, plan.numTokens];
    tensors.set(STEP_INPUT.positionShifts, new Tensor('int64', shifts, dims));
  }
  return tensors;
}

function joined(pieces: readonly Float32Array[], dims: readonly number[]): Tensor {
  const values = new Float32Array(dims.reduce((a, b) => a * b, 1));
  let at = 0;
  for (const piece of pieces) {
    values.set(piece, at);
    at += piece.length;
  }
  return new Tensor('float32', values, dims);
}

/** Indices `[N, 2]` into `[1, T, width]`. */
function scatterPlaces(places: readonly number[]): Tensor {
  const indices = new BigInt64Array(2 * places.length);
  for (const [i, place] of places.entries()) indices[2 * i + 1] = BigInt(place);
  return new Tensor('int64', indices, [places.length, 2]);
}

/**
 * Multimodal rotary positions (Wang et al. 2024, Qwen2-VL, section 2.1): the tokens of an image
 * have one time, and the row and column of their place in it; what follows an image goes on behind
 * its larger side.
 */
function shiftPositions(
  { tokenIds, numComputed, contents = [] }: ScheduledSequence,
  row: number,
  { numTokens }: StepPlan,
  store: Pick<ImageStore, 'get'>,
  shifts: BigInt64Array,
): void {
  let next = 0;
  // Of the text behind the images that end before `token`.
  let behind = 0;
  for (let i = 0; i < tokenIds.length; i++) {
    const token = numComputed + i;
    while (next < contents.length && contents[next].end <= token) {
      const { start, end, key } = contents[next++];
      const { grid } = store.get(key);
      if (grid) behind += Math.max(grid.height, grid.width) - (end - start);
    }
    const image = contents[next];
    const grid = image && image.start <= token ? store.get(image.key).grid : null;
    const place = grid ? token - image.start : 0;
    const moves = grid
      ? [0, Math.floor(place / grid.width), place % grid.width].map((axis) => axis - place)
      : [0, 0, 0];
    for (const [axis, move] of moves.entries()) {
      shifts[axis * numTokens + row + i] = BigInt(behind + move);
    }
  }
}

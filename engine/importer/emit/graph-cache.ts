import { relative, sep } from 'node:path';
import { create } from '@bufbuild/protobuf';
import {
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProtoSchema,
  TensorProto_DataType as Type,
} from '../onnx/onnx_pb.js';
import { DEVICE_INPUT } from './device-inputs.js';

/** The pages of one slot: a tensor for keys, and one for values. */
export interface CacheSlot {
  readonly numKvHeads: number;
  readonly headSize: number;
}

/** Sizes of a cache on a device: `[numBlocks, blockSize, numKvHeads, headSize]` twice a slot. */
export interface CacheShape {
  readonly slots: readonly CacheSlot[];
  readonly numBlocks: number;
  /** Tokens per block. */
  readonly blockSize: number;
}

/** A graph with paged attention. */
export interface PagedGraph {
  /** Those that a step feeds, without the tensors of the cache. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /**
   * Serializes it.
   *
   * @param cache the graph has a cache of its own; null: the cache is fed, too
   */
  readonly write: (cache: OwnCache | null) => WrittenGraph;
}

/** A cache inside of a graph, and the file from which ONNX Runtime fills it. */
export interface OwnCache {
  readonly shape: CacheShape;
  /** Absolute, without symbolic links. */
  readonly file: string;
}

export interface WrittenGraph {
  readonly model: Uint8Array;
  /** Directory of all files of external data; null when there are none. */
  readonly weightsDir: string | null;
}

/** Bytes of a float16. */
const ELEMENT_BYTES = 2;

/** Bytes of a cache's file: all tensors of a cache are made of its beginning. */
export function cacheFileBytes({ slots, numBlocks, blockSize }: CacheShape): number {
  const largest = Math.max(...slots.map(({ numKvHeads, headSize }) => numKvHeads * headSize));
  return largest * numBlocks * blockSize * ELEMENT_BYTES;
}

/** Names of a cache's tensors. */
export function cacheInputs(numSlots: number): string[] {
  const { keyCache, valueCache } = DEVICE_INPUT;
  return Array.from({ length: numSlots }, (_, i) => [keyCache(i), valueCache(i)]).flat();
}

/**
 * The tensors of a cache as initializers of its graph, which PagedAttention writes in place: they
 * stay on the device for as long as the session lives, and nothing else reaches them.
 *
 * @param directory of all external data
 */
export function cacheInitializers(
  { shape: { slots, numBlocks, blockSize }, file }: OwnCache,
  directory: string,
): TensorProto[] {
  const location = relative(directory, file).replaceAll(sep, '/');
  return slots.flatMap(({ numKvHeads, headSize }, slot) => {
    const dims = [numBlocks, blockSize, numKvHeads, headSize];
    const length = dims.reduce((product, n) => product * n, ELEMENT_BYTES);
    const place = Object.entries({ location, offset: 0, length });
    return [DEVICE_INPUT.keyCache(slot), DEVICE_INPUT.valueCache(slot)].map((name) =>
      create(TensorProtoSchema, {
        name,
        dataType: Type.FLOAT16,
        dims: dims.map(BigInt),
        dataLocation: TensorProto_DataLocation.EXTERNAL,
        externalData: place.map(([key, value]) =>
          create(StringStringEntryProtoSchema, { key, value: String(value) }),
        ),
      }),
    );
  });
}

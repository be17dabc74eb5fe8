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
  readonly write: (cache: CacheShape | null) => Uint8Array;
}

/** The name of the file, which is in memory only, from which ONNX Runtime fills such a cache. */
export const CACHE_FILE = 'octavo.cache';

/** Bytes of a float16. */
const ELEMENT_BYTES = 2;

/** Bytes of that file: all tensors of a cache are made of its beginning. */
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
 */
export function cacheInitializers({ slots, numBlocks, blockSize }: CacheShape): TensorProto[] {
  return slots.flatMap(({ numKvHeads, headSize }, slot) => {
    const dims = [numBlocks, blockSize, numKvHeads, headSize];
    const length = dims.reduce((product, n) => product * n, ELEMENT_BYTES);
    const place = Object.entries({ location: CACHE_FILE, offset: 0, length });
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

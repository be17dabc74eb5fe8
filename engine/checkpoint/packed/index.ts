import { BLOCKS_OF_32 } from './blocks-of-32.js';
import { BLOCKS_OF_256 } from './blocks-of-256.js';
import type { PackedFormat } from './packed-format.js';

/** Formats of packed weights that are served, by the names of their types. */
export const PACKED_FORMATS: ReadonlyMap<string, PackedFormat> = new Map(
  [...BLOCKS_OF_32, ...BLOCKS_OF_256].map((format) => [format.name, format]),
);

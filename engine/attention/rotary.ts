import type { RotaryEmbedding } from './paged-attention.js';

/** Rotates one head's leading `dim` floats by the angles of a position, in place. */
export function rotateHead(head: Float32Array, rotary: RotaryEmbedding, position: number): void {
  const half = rotary.dim / 2;
  for (let i = 0; i < half; i++) {
    const first = rotary.interleaved ? 2 * i : i;
    const second = rotary.interleaved ? 2 * i + 1 : i + half;
    const cos = rotary.cos[position * half + i];
    const sin = rotary.sin[position * half + i];
    const a = head[first];
    const b = head[second];
    head[first] = a * cos - b * sin;
    head[second] = b * cos + a * sin;
  }
}

import type { RotaryEmbedding } from '../../attention/paged-attention.js';
import type { Rotary } from '../decoder.js';

/** Tables of rotations for the attention kernel; layers with the same rotation share one. */
export class RotaryTables {
  readonly #positions: number;
  readonly #known = new Map<Rotary, RotaryEmbedding>();

  /** @param positions length of the longest sequence that is served, in tokens */
  constructor(positions: number) {
    this.#positions = positions;
  }

  /** Where a rotation stands among those that were asked for. */
  numberOf(rotary: Rotary): number {
    return [...this.#known.keys()].indexOf(rotary);
  }

  of(rotary: Rotary): RotaryEmbedding {
    const known = this.#known.get(rotary);
    if (known) return known;
    const { dim, interleaved, frequencies, magnitude } = rotary;
    const half = frequencies.length;
    const cos = new Float32Array(this.#positions * half);
    const sin = new Float32Array(this.#positions * half);
    for (let position = 0, at = 0; position < this.#positions; position++) {
      for (let i = 0; i < half; i++, at++) {
        // Rounded to float32 before the cosine, as transformers does.
        const angle = Math.fround(position * frequencies[i]);
        cos[at] = Math.cos(angle) * magnitude;
        sin[at] = Math.sin(angle) * magnitude;
      }
    }
    const made = { dim, interleaved, cos, sin };
    this.#known.set(rotary, made);
    return made;
  }
}

/** Units that are segmented at a time: Node's segmenter takes time quadratic in a text's length. */
const WINDOW = 512;

const HIGH_SURROGATE = /[\uD800-\uDBFF]/;

/**
 * SentencePiece's compiled normalization table: a double-array trie (Aoe 1989, in the layout of the
 * library darts-clone) that maps UTF-8 to offsets into a block of zero-terminated texts.
 */
export class Charsmap {
  readonly #units: Uint32Array;
  readonly #texts: Uint8Array;
  readonly #graphemes = new Intl.Segmenter('und', { granularity: 'grapheme' });

  /** @throws RangeError when the sizes do not fit */
  constructor(blob: Uint8Array) {
    const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
    const trieBytes = view.getUint32(0, true);
    if (trieBytes % 4 !== 0 || 4 + trieBytes > blob.length) throw new RangeError('sizes');
    this.#units = Uint32Array.from({ length: trieBytes / 4 }, (_, i) =>
      view.getUint32(4 + 4 * i, true),
    );
    this.#texts = blob.subarray(4 + trieBytes);
  }

  /**
   * Short graphemes have their own entries (a letter with its accent); otherwise each character is
   * looked up.
   */
  normalize(text: string): string {
    let result = '';
    for (const segment of this.#graphemesOf(text)) {
      const whole = Buffer.byteLength(segment) < 6 ? this.#lookUp(segment) : null;
      if (whole !== null) result += whole;
      else for (const char of segment) result += this.#lookUp(char) ?? char;
    }
    return result;
  }

  /**
   * At the beginning of a grapheme, earlier text does not affect later graphemes (Unicode, annex
   * 29).
   */
  *#graphemesOf(text: string): Generator<string> {
    let size = WINDOW;
    for (let start = 0; start < text.length; ) {
      let end = start + size;
      if (HIGH_SURROGATE.test(text[end - 1] ?? '')) end++;
      const window = this.#graphemes.segment(text.slice(start, end));
      const segments = Array.from(window, ({ segment }) => segment);
      // The last grapheme may continue after the window.
      if (end < text.length) segments.pop();
      size = segments.length === 0 ? size * 2 : WINDOW;
      for (const segment of segments) {
        yield segment;
        start += segment.length;
      }
    }
  }

  /** The text of the shortest entry that is a prefix of `key`. */
  #lookUp(key: string): string | null {
    let position = 0;
    let unit = this.#units[0] ?? 0;
    position ^= offsetOf(unit);
    for (const byte of Buffer.from(key)) {
      if (byte === 0) return null;
      position ^= byte;
      unit = this.#units[position] ?? 0;
      if ((unit & 0x800000ff) !== byte) return null;
      position ^= offsetOf(unit);
      const hasLeaf = ((unit >>> 8) & 1) === 1;
      if (hasLeaf) return this.#textAt((this.#units[position] ?? 0) & 0x7fffffff);
    }
    return null;
  }

  #textAt(start: number): string {
    const end = this.#texts.indexOf(0, start);
    return Buffer.from(this.#texts.subarray(start, end < 0 ? undefined : end)).toString();
  }
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & (1 << 9)) >>> 6);
}

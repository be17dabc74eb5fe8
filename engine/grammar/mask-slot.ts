/** What has become of a mask. */
export const SLOT = { pending: 0, ready: 1, rejected: 2, deadEnd: 3, lost: 4 } as const;

const STATE = 0;
const TOKEN = 1;
const HEADER_WORDS = 2;

/**
 * One matcher's mask in memory that the engine's thread and a grammar thread share:
 *
 *     word 0: state, on which the engine's thread may sleep | word 1: the token to take next | mask, 32 tokens a word
 *
 * The engine's thread writes a token and makes the state pending; the grammar thread takes it, writes the next mask, and only then
 * changes the state. In between neither touches what is the other's.
 */
export class MaskSlot {
  readonly buffer: SharedArrayBuffer;
  readonly #header: Int32Array;
  readonly mask: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#header = new Int32Array(buffer, 0, HEADER_WORDS);
    this.mask = new Int32Array(buffer, HEADER_WORDS * 4);
  }

  static create(vocabSize: number): MaskSlot {
    const words = HEADER_WORDS + Math.ceil(vocabSize / 32);
    return new MaskSlot(new SharedArrayBuffer(words * 4));
  }

  get state(): number {
    return Atomics.load(this.#header, STATE);
  }

  get token(): number {
    return this.#header[TOKEN];
  }

  request(token: number): void {
    this.#header[TOKEN] = token;
    Atomics.store(this.#header, STATE, SLOT.pending);
  }

  finish(state: number): void {
    Atomics.store(this.#header, STATE, state);
    Atomics.notify(this.#header, STATE);
  }

  /** Sleeps until the state is not pending. @returns false when that takes longer */
  wait(milliseconds: number): boolean {
    return Atomics.wait(this.#header, STATE, SLOT.pending, milliseconds) !== 'timed-out';
  }
}

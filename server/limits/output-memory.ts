import type { OutputMeter } from '../../engine/client/engine-port.js';
import { OctavoError } from '../../engine/errors.js';

export interface OutputLimits {
  /** Bytes of a stream that its client has not read; beyond them it pauses. */
  readonly perStream: number;
  /** Bytes of all answers together. */
  readonly total: number;
}

/** Callbacks of an answer's owner. */
export interface OutputOwner {
  /** Ends the answer with this error. Called once. */
  end(error: OctavoError): void;
}

/**
 * Pauses and resumes a stream. `pause` is called again while the stream still produces output; a
 * repeated call must have no effect.
 */
export interface StreamControls {
  pause(): void;
  resume(): void;
}

/** Fraction of the total for one answer that is sent whole. */
const WHOLE_SHARE = 1 / 4;

/**
 * Fraction of the total that streams may fill before they pause; a pause takes effect after a step.
 */
const STREAM_SHARE = 3 / 4;

/**
 * A stream resumes when this fraction is unread. Otherwise, it would resume for one token and pause
 * again at each output.
 */
const RESUME_SHARE = 1 / 2;

/**
 * Memory of unsent answers, from the engine's outputs to what the sockets have not taken. A stream
 * pauses when its client does not read. It may have at most as much waiting as is free (Choudhury
 * and Hahne 1998, dynamic thresholds), so that many unread streams share the memory and leave some
 * to streams that are read. Answers that are sent whole cannot pause: when they take too much, the
 * largest ends with an error.
 */
export class OutputMemory {
  readonly #limits: OutputLimits;
  readonly #accounts = new Set<OutputAccount>();
  #used = 0;

  constructor(limits: OutputLimits) {
    this.#limits = limits;
  }

  /** Bytes of all answers. */
  get used(): number {
    return this.#used;
  }

  /**
   * Opens an account for an API request; the owner closes it when all of the answer has been sent.
   */
  open(owner: OutputOwner): OutputAccount {
    const account = new OutputAccount(owner, {
      perStream: () =>
        Math.min(this.#limits.perStream, this.#limits.total * STREAM_SHARE - this.#used),
      perWhole: this.#limits.total * WHOLE_SHARE,
      changed: (bytes) => this.#change(bytes),
      closed: () => void this.#accounts.delete(account),
    });
    this.#accounts.add(account);
    return account;
  }

  #change(bytes: number): void {
    this.#used += bytes;
    if (bytes > 0) this.#makeRoom();
  }

  #makeRoom(): void {
    while (this.#used > this.#limits.total) {
      const [first, ...others] = this.#accounts;
      if (!first) return;
      const largest = others.reduce((a, b) => (b.bytes > a.bytes ? b : a), first);
      largest.end(
        new OctavoError(
          'overloaded',
          'the server is overloaded: answers that their clients have not read take all the memory that it has for them, and this one the most',
        ),
      );
    }
  }
}

interface Bank {
  /** The bytes that a stream may have waiting now. */
  perStream(): number;
  readonly perWhole: number;
  changed(bytes: number): void;
  closed(): void;
}

/** The memory of one answer. */
export class OutputAccount implements OutputMeter {
  readonly #owner: OutputOwner;
  readonly #bank: Bank;
  #controls: StreamControls | null = null;
  #unread = 0;
  #kept = 0;
  #paused = false;
  #closed = false;

  constructor(owner: OutputOwner, bank: Bank) {
    this.#owner = owner;
    this.#bank = bank;
  }

  get bytes(): number {
    return this.#unread + this.#kept;
  }

  /** Whether the stream waits for its client. */
  get isPaused(): boolean {
    return this.#paused;
  }

  /** Marks the answer as a stream. Otherwise, it is kept until the end. */
  stream(controls: StreamControls): void {
    this.#controls = controls;
  }

  /** An output has come. */
  add(bytes: number): void {
    if (!this.#controls) return this.keep(bytes);
    if (this.#closed) return;
    this.#unread += bytes;
    this.#bank.changed(bytes);
    if (!this.#closed && this.#unread > this.#bank.perStream()) {
      this.#paused = true;
      this.#controls.pause();
    }
  }

  /** An output of a stream has been read. */
  release(bytes: number): void {
    if (!this.#controls || this.#closed) return;
    this.#unread -= bytes;
    this.#bank.changed(-bytes);
    const isReadEnough = this.#unread <= Math.max(0, this.#bank.perStream()) * RESUME_SHARE;
    if (!this.#paused || !isReadEnough) return;
    this.#paused = false;
    this.#controls.resume();
  }

  /** Counts memory that is kept until the answer ends. */
  keep(bytes: number): void {
    if (this.#closed) return;
    this.#kept += bytes;
    this.#bank.changed(bytes);
    if (this.#closed || this.#kept <= this.#bank.perWhole) return;
    const most = Math.floor(this.#bank.perWhole / 2 ** 20);
    this.end(
      new OctavoError(
        'output_too_large',
        `the answer is larger than ${most} MiB, which is all that is kept of one: stream it, or ask for fewer tokens, choices or log-probabilities`,
      ),
    );
  }

  /** Ends an answer that takes too much; its memory no longer counts. */
  end(error: OctavoError): void {
    if (this.#closed) return;
    this.close();
    this.#owner.end(error);
  }

  /** Closes the account when all of the answer has been sent. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#bank.closed();
    this.#bank.changed(-this.bytes);
  }
}

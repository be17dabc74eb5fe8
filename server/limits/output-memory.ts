import type { OutputMeter } from '../../engine/client/engine-port.js';
import { OctavoError } from '../../engine/errors.js';

export interface OutputLimits {
  /** Bytes of a stream that its client has not read; beyond them it pauses. */
  readonly perStream: number;
  /** Bytes of all answers together. */
  readonly total: number;
}

/** What the owner of an answer does about it. */
export interface OutputOwner {
  /** The answer cannot go on: it ends with this error. Called once. */
  end(error: OctavoError): void;
}

/** How a stream is held and let go. Whoever still writes is told again: calls while it is held already change nothing. */
export interface StreamControls {
  pause(): void;
  resume(): void;
}

/** Of the total, what one answer that must be whole before it can be sent may take. */
const WHOLE_SHARE = 1 / 4;

/** What streams may fill before they pause: a pause takes a step to have its effect. */
const STREAM_SHARE = 3 / 4;

/** A stream goes on when its client has read so far: at each output it would do so for one token, and stop again. */
const RESUME_SHARE = 1 / 2;

/**
 * Memory of answers on their way to clients: from the engine's outputs to what the sockets have not taken. A stream pauses when its client
 * does not read. What it may have waiting is at most as much as is free (Choudhury and Hahne 1998, dynamic thresholds), so that many
 * streams that nobody reads share the memory and leave some of it to those who read. Answers that must be whole cannot pause: of those
 * that have too much, the largest ends with an error.
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

  /** One for each API request; its owner closes it when nothing of the answer is left. */
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
  /** What a stream may have waiting now. */
  perStream(): number;
  readonly perWhole: number;
  changed(bytes: number): void;
  closed(): void;
}

/** What one answer takes. */
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

  /** The answer goes out as it comes; before this, and without it, it is kept until the end. */
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

  /** Something stays in memory until the answer is over. */
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

  /** The answer has too much: it is over, and what it had does not count any more. */
  end(error: OctavoError): void {
    if (this.#closed) return;
    this.close();
    this.#owner.end(error);
  }

  /** Nothing of the answer is left. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#bank.closed();
    this.#bank.changed(-this.bytes);
  }
}

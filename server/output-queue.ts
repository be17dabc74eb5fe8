import type { OctavoError } from '../engine/errors.js';
import type { EngineOutput } from './engine-port.js';

/**
 * Outputs of one request on their way from the engine to a reader. Outputs that wait are merged into one: a slow
 * reader costs token ids, not objects.
 */
export class OutputQueue {
  #pending: EngineOutput | null = null;
  #error: OctavoError | null = null;
  #wake: (() => void) | null = null;

  /** After the final output, nothing more is taken in. */
  push(output: EngineOutput): void {
    if (this.#pending && this.#pending.finishReason !== null) return;
    this.#pending = this.#pending ? merged(this.#pending, output) : output;
    this.#wake?.();
  }

  /** Ends the queue with an error, after what is pending. */
  fail(error: OctavoError): void {
    this.#error ??= error;
    this.#wake?.();
  }

  /** One reader at a time. */
  async next(): Promise<EngineOutput> {
    if (!this.#pending && !this.#error) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
    const output = this.#pending;
    if (output) {
      this.#pending = null;
      return output;
    }
    throw this.#error as OctavoError;
  }
}

function merged(earlier: EngineOutput, later: EngineOutput): EngineOutput {
  const output = {
    ...earlier,
    ...later,
    tokenIds: [...earlier.tokenIds, ...later.tokenIds],
  };
  const logprobs = [...(earlier.logprobs ?? []), ...(later.logprobs ?? [])];
  return logprobs.length === 0 ? output : { ...output, logprobs };
}

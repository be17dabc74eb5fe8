/**
 * A model's answer. Read it part by part (`for await`), or wait for the whole (`await`,
 * `result()`). Generation starts when it is first read, and it can be iterated once. Leaving a
 * `for await` early ends the model's work for it.
 */
export class Answer<Part, Result> implements AsyncIterable<Part>, PromiseLike<Result> {
  readonly #run: () => AsyncGenerator<Part, Result>;
  readonly #settled: Promise<Result>;
  #resolve!: (result: Result) => void;
  #reject!: (error: unknown) => void;
  #begun = false;

  /** @param run called once; its return value is the result */
  constructor(run: () => AsyncGenerator<Part, Result>) {
    this.#run = run;
    this.#settled = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // A caller that iterates gets the error there, and need not read the result.
    this.#settled.catch(() => undefined);
  }

  /** @throws Error when it has been iterated already */
  [Symbol.asyncIterator](): AsyncGenerator<Part, void> {
    if (this.#begun) throw new Error('an answer can be read once; result() has all of it');
    this.#begun = true;
    return this.#read();
  }

  /** The whole answer; also while, or after, its parts are read. */
  async result(): Promise<Result> {
    if (!this.#begun) for await (const _part of this);
    return this.#settled;
  }

  /** `await` waits for the result. */
  // biome-ignore lint/suspicious/noThenProperty: it is a promise of the result
  // oxlint-disable-next-line unicorn/no-thenable -- the same
  then<Value = Result, Failure = never>(
    onResult?: ((result: Result) => Value | PromiseLike<Value>) | null,
    onError?: ((reason: unknown) => Failure | PromiseLike<Failure>) | null,
  ): Promise<Value | Failure> {
    return this.result().then(onResult, onError);
  }

  async *#read(): AsyncGenerator<Part, void> {
    let isOver = false;
    try {
      // Not `for await`: that would lose the generator's return value.
      const parts = this.#run();
      try {
        for (;;) {
          const { done, value } = await parts.next();
          if (done === true) {
            isOver = true;
            this.#resolve(value);
            return;
          }
          yield value;
        }
      } finally {
        // Ends the work when the caller leaves early, and waits until that is done.
        if (!isOver) await parts.return(undefined as Result);
      }
    } catch (error) {
      isOver = true;
      this.#reject(error);
      throw error;
    } finally {
      if (!isOver) this.#reject(new Error('the answer was left before its end'));
    }
  }
}

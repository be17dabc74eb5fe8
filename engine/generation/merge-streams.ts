/**
 * Reads several streams at once and yields their values as they arrive, each with its stream's
 * index. At most one value of each stream is read ahead, so that a slow reader slows the streams
 * down.
 *
 * A caller that stops reading must also abort the streams: a stream with a pending read cannot be
 * closed otherwise.
 */
export async function* mergeStreams<Value>(
  streams: readonly AsyncIterable<Value>[],
): AsyncGenerator<{ index: number; value: Value }, void> {
  if (streams.length === 1) {
    // The common case avoids a race, which would cost six promises for each token.
    for await (const value of streams[0]) yield { index: 0, value };
    return;
  }
  const iterators = streams.map((stream) => stream[Symbol.asyncIterator]());
  // Settled reads in order of arrival: a race over all pending reads would make the cost of each
  // value grow with the number of streams.
  let settled: Settled<Value>[] = [];
  let wake = (): void => undefined;
  const settle = (read: Settled<Value>): void => {
    settled.push(read);
    wake();
  };
  const read = (index: number): void =>
    void iterators[index].next().then(
      (result) => settle({ index, result }),
      // Thrown when it is its turn.
      (error: unknown) => settle({ index, error }),
    );
  for (const index of iterators.keys()) read(index);
  try {
    for (let open = iterators.length; open > 0; ) {
      if (settled.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      const come = settled;
      settled = [];
      for (const { index, result, error } of come) {
        if (!result) throw error;
        if (result.done === true) {
          open -= 1;
          continue;
        }
        yield { index, value: result.value };
        read(index);
      }
    }
  } finally {
    for (const iterator of iterators) void closeQuietly(iterator);
  }
}

/** A settled read: a result or an error. */
interface Settled<Value> {
  readonly index: number;
  readonly result?: IteratorResult<Value, unknown>;
  readonly error?: unknown;
}

async function closeQuietly(iterator: AsyncIterator<unknown>): Promise<void> {
  try {
    await iterator.return?.();
  } catch {
    // The error that ended the merge has already been thrown.
  }
}

/**
 * Reads several streams at once and yields their values as they come, each with its stream's index. At most one value of
 * each stream is read ahead, so that a slow reader slows the streams down.
 *
 * Whoever stops reading must also make the streams end (abort them): those with a read under way cannot be closed otherwise.
 */
export async function* mergeStreams<Value>(
  streams: readonly AsyncIterable<Value>[],
): AsyncGenerator<{ index: number; value: Value }, void> {
  if (streams.length === 1) {
    // Most requests: no race, which would cost six promises a token.
    for await (const value of streams[0]) yield { index: 0, value };
    return;
  }
  const iterators = streams.map((stream) => stream[Symbol.asyncIterator]());
  // In the order in which they came: a race over all that is pending would cost each value as much as there are streams.
  let settled: Settled<Value>[] = [];
  let wake = (): void => undefined;
  const settle = (read: Settled<Value>): void => {
    settled.push(read);
    wake();
  };
  const read = (index: number): void =>
    void iterators[index].next().then(
      (result) => settle({ index, result }),
      // Thrown when its turn has come.
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

/** A read that is over: with a result, or else with what was thrown. */
interface Settled<Value> {
  readonly index: number;
  readonly result?: IteratorResult<Value, unknown>;
  readonly error?: unknown;
}

async function closeQuietly(iterator: AsyncIterator<unknown>): Promise<void> {
  try {
    await iterator.return?.();
  } catch {
    // The error that ended the merge has been thrown already.
  }
}

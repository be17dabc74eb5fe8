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
  const read = async (
    index: number,
  ): Promise<{ index: number; result: IteratorResult<Value, unknown> }> => ({
    index,
    result: await iterators[index].next(),
  });
  const reads = new Map(iterators.map((_, index) => [index, read(index)]));
  // A failure that is met while another value is being consumed is not unhandled: the race will see it.
  for (const pending of reads.values()) pending.catch(() => undefined);
  try {
    while (reads.size > 0) {
      const { index, result } = await Promise.race(reads.values());
      reads.delete(index);
      if (result.done === true) continue;
      yield { index, value: result.value };
      const next = read(index);
      next.catch(() => undefined);
      // Set anew: the stream goes to the end of the order, and none starves.
      reads.set(index, next);
    }
  } finally {
    for (const iterator of iterators) void closeQuietly(iterator);
  }
}

async function closeQuietly(iterator: AsyncIterator<unknown>): Promise<void> {
  try {
    await iterator.return?.();
  } catch {
    // The error that ended the merge has been thrown already.
  }
}

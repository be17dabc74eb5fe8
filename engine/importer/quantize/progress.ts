/** Receives the bytes of weights read so far, and in total. */
export type ConversionProgress = (done: number, total: number) => void;

/**
 * Counts what is read of `total` bytes.
 *
 * @returns to be called with the bytes of each piece; lets the thread handle signals and messages
 */
export function progressOf(
  onProgress: ConversionProgress,
  total: number,
): (bytesRead: number) => Promise<void> {
  let done = 0;
  return async (bytesRead) => {
    done += bytesRead;
    onProgress(done, total);
    await new Promise((resolve) => setImmediate(resolve));
  };
}

/** Bytes after which progress is reported, and the thread lets other work happen. */
const STEP = 4 * 2 ** 20;

/** Receives what is done, in words, and the bytes of weights read so far and in total. */
export type ConversionProgress = (what: string, done: number, total: number) => void;

/**
 * Counts what is read of `total` bytes.
 *
 * @returns to be called with the bytes of each piece; lets the thread handle signals and messages
 */
export function progressOf(
  onProgress: ConversionProgress,
  what: string,
  total: number,
): (bytesRead: number) => Promise<void> {
  let done = 0;
  let reported = 0;
  return async (bytesRead) => {
    done += bytesRead;
    if (done - reported < STEP && done < total) return;
    reported = done;
    onProgress(what, done, total);
    await new Promise((resolve) => setImmediate(resolve));
  };
}

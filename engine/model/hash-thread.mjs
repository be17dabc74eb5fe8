// A thread that computes the SHA-256 of files, reading them in pieces. Plain JavaScript, so that it
// runs from the sources and from `dist` alike, and starts in milliseconds.
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

const PIECE_BYTES = 4 * 2 ** 20;

const piece = new Uint8Array(PIECE_BYTES);

function hashFile(path) {
  const hash = createHash('sha256');
  const file = openSync(path, 'r');
  try {
    for (let size = readSync(file, piece); size > 0; size = readSync(file, piece)) {
      hash.update(piece.subarray(0, size));
    }
  } finally {
    closeSync(file);
  }
  return hash.digest('hex');
}

parentPort.postMessage(workerData.paths.map(hashFile));

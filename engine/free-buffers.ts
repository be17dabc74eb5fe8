import { MessageChannel } from 'node:worker_threads';

/** A port whose other end is closed, so that messages are dropped. */
const nowhere = openNowhere();

/**
 * Frees the memory of buffers that are no longer read; their views are empty afterwards.
 *
 * The garbage collector would do so, too. But ONNX Runtime copies each output into a new buffer, V8
 * counts this as memory pressure, and marks its whole heap several times a second, on the cores
 * that the step needs (docs/benchmarks.md, "What the garbage collector cost").
 *
 * A transferred buffer belongs to its message, and a message that cannot be delivered is destroyed.
 * (`ArrayBuffer.prototype.transfer` would be clearer, but Node 20 does not have it.)
 */
export function freeBuffers(buffers: readonly ArrayBuffer[]): void {
  if (buffers.length > 0) nowhere.postMessage(null, buffers);
}

function openNowhere(): MessageChannel['port1'] {
  const { port1, port2 } = new MessageChannel();
  port2.close();
  port1.close();
  return port1;
}

import { MessageChannel } from 'node:worker_threads';

/** Its other end is closed, so whatever is sent is dropped on the way. */
const nowhere = openNowhere();

/**
 * Gives back the memory of buffers that nobody reads any more: their views are empty afterwards.
 *
 * The garbage collector would do it too, but ONNX Runtime copies each output into a new buffer, V8 takes their memory for pressure, and marks its
 * whole heap several times a second, on the cores that the step needs (docs/benchmarks.md, "What the garbage collector cost").
 *
 * A buffer that is transferred belongs to the message, and a message that cannot arrive is destroyed. (`ArrayBuffer.prototype.transfer` says it
 * better, but Node 20 does not have it.)
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

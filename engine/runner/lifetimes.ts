import { MessageChannel } from 'node:worker_threads';
import type { Segment } from '../importer/imported-model.js';
import { type SiteTensors, siteInputs } from '../importer/recognizers/recognizer.js';

/** Where each of a step's tensors is read for the last time. */
export interface Lifetimes {
  /** By segment: outputs of earlier segments that are not read after it. */
  readonly afterSegment: readonly (readonly string[])[];
  /** By site: outputs of segments that are not read after it. */
  readonly afterSite: readonly (readonly string[])[];
  /**
   * By site: whether only the next segment reads its output, so that the next site may overwrite
   * it.
   */
  readonly isLent: readonly boolean[];
}

/**
 * Lifetimes of segments' outputs, in the order segment 0, site 0, segment 1, ... Outputs that
 * neither a segment nor a site reads are the step's answer and outlive it. Outputs of sites are in
 * the runner's own memory.
 */
export function lifetimes(
  segments: readonly Pick<Segment, 'inputs' | 'outputs'>[],
  sites: readonly (SiteTensors & { readonly output: string })[],
): Lifetimes {
  const afterSegment: string[][] = segments.map(() => []);
  const afterSite: string[][] = sites.map(() => []);
  const dying = new Map<string, string[]>();
  for (const [index, { inputs }] of segments.entries()) {
    for (const name of inputs) dying.set(name, afterSegment[index]);
    if (index === sites.length) break;
    for (const name of siteInputs(sites[index])) dying.set(name, afterSite[index]);
  }
  for (const name of segments.flatMap(({ outputs }) => outputs)) dying.get(name)?.push(name);
  const readLater = (output: string, site: number): boolean =>
    segments.some(({ inputs }, index) => index > site + 1 && inputs.includes(output)) ||
    sites.some((other) => siteInputs(other).includes(output));
  const isLent = sites.map(({ output }, site) => !readLater(output, site));
  return { afterSegment, afterSite, isLent };
}

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

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

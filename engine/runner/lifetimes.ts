import type { AttentionSite, Segment } from '../importer/imported-model.js';
import { siteInputs } from '../importer/recognizers/recognizer.js';

/** What of a step's tensors is read for the last time where. */
export interface Lifetimes {
  /** By segment: outputs of earlier segments that no one reads after it. */
  readonly afterSegment: readonly (readonly string[])[];
  /** By site: outputs of segments that no one reads after it. */
  readonly afterSite: readonly (readonly string[])[];
  /** By site: whether only the next segment reads its output, so that the next site may write over it. */
  readonly isLent: readonly boolean[];
}

/**
 * Lifetimes of what segments compute, in the order segment 0, site 0, segment 1, ... Outputs that neither a segment nor a site reads are the
 * step's answer and outlive it. What sites compute is the runner's own memory.
 */
export function lifetimes(
  segments: readonly Pick<Segment, 'inputs' | 'outputs'>[],
  sites: readonly Pick<AttentionSite, 'query' | 'key' | 'value' | 'output'>[],
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

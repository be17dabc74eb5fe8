import type { Graph } from '../graph.js';
import { readersOf } from '../graph-queries.js';
import { intAttribute } from '../onnx/nodes.js';
import type { RecognizedSite } from '../recognizers/recognizer.js';

/**
 * Where a node splits one tensor into the query, the key and the value of a site, the site reads
 * that tensor: the runner takes them out of it anyway when it hands them to the attention. That is
 * a node less, and one tensor instead of three comes out of the session.
 *
 * @returns the sites, some of them packed
 */
export function packSites(graph: Graph, sites: readonly RecognizedSite[]): RecognizedSite[] {
  const readers = readersOf(graph);
  return sites.map((site) => {
    if ('recurrence' in site) return site;
    const split = graph.producer(site.query);
    const own = [site.query, site.key, site.value];
    if (split?.opType !== 'Split' || split.output.join() !== own.join()) return site;
    const isLast = [-1, 2].includes(intAttribute(split, 'axis', 0));
    const others = split.output
      .flatMap((name) => readers.get(name) ?? [])
      .filter((node) => node !== site.node);
    return isLast && others.length === 0 ? { ...site, packed: split.input[0] } : site;
  });
}

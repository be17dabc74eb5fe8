import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/**
 * One import of a file of the repository, types included. Paths are relative to the repository,
 * with `/`.
 */
export interface ImportArrow {
  readonly from: string;
  readonly to: string;
}

/** Arrows by their beginning. */
export type Graph = ReadonlyMap<string, ReadonlySet<string>>;

/** `import ... from 'x'`, `export ... from 'x'`, `import 'x'`, `import('x')`; also of types. */
const SPECIFIER = /^\s*(?:import|export)\s(?:[^'";=()]*\sfrom\s)?'([^']+)'|\bimport\('([^']+)'\)/gm;

/** Source files of a folder, its sub-folders included. */
export function sourceFiles(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|mts|mjs)$/.test(entry.name))
    .map((entry) => posix.join(entry.parentPath.slice(ROOT.length), entry.name))
    .filter((file) => !/(^|\/)(node_modules|assembly|peers|generated)\//.test(file));
}

/** What a file imports, as it is written there. */
function specifiersOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  return [...text.matchAll(SPECIFIER)].map(([, imported, called]) => imported ?? called);
}

/** @throws Error when an imported file does not exist: then it was read wrongly */
export function importsOf(files: readonly string[]): ImportArrow[] {
  return files.flatMap((from) =>
    specifiersOf(from)
      .filter((specifier) => specifier.startsWith('.'))
      .map((specifier) => ({ from, to: resolveSource(from, specifier) })),
  );
}

/** Packages and parts of Node that a file imports. */
export function packagesOf(file: string): string[] {
  return specifiersOf(file).filter((specifier) => !specifier.startsWith('.'));
}

function resolveSource(from: string, specifier: string): string {
  const path = posix.join(dirname(from), specifier);
  const candidates = [path.replace(/\.js$/, '.ts'), path.replace(/\.mjs$/, '.d.mts'), path];
  const found = candidates.find((candidate) => existsSync(join(ROOT, candidate)));
  if (found === undefined) throw new Error(`${from} imports ${specifier}, which is not there`);
  return found;
}

export function graphOf(arrows: Iterable<ImportArrow>): Graph {
  const graph = new Map<string, Set<string>>();
  for (const { from, to } of arrows) {
    if (from === to) continue;
    const ends = graph.get(from) ?? new Set();
    graph.set(from, ends.add(to));
  }
  return graph;
}

/** The way from one place to another, both included; null when there is none. */
export function pathBetween(graph: Graph, from: string, to: string): string[] | null {
  const cameFrom = new Map<string, string>();
  const open = [from];
  for (const place of open) {
    for (const next of graph.get(place) ?? []) {
      if (next === to) {
        const path = [to];
        for (let at = place; at !== from; at = cameFrom.get(at) as string) path.unshift(at);
        return [from, ...path];
      }
      if (next === from || cameFrom.has(next)) continue;
      cameFrom.set(next, place);
      open.push(next);
    }
  }
  return null;
}

/** One circle of every knot, as `a -> b -> a`. */
export function circlesOf(graph: Graph): string[] {
  const circles: string[] = [];
  const seen = new Set<string>();
  for (const place of graph.keys()) {
    const circle = seen.has(place) ? null : pathBetween(graph, place, place);
    if (!circle) continue;
    for (const member of circle) seen.add(member);
    circles.push(circle.join(' -> '));
  }
  return circles;
}

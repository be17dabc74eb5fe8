import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  circlesOf,
  graphOf,
  type ImportArrow,
  importsOf,
  packagesOf,
  pathBetween,
  sourceFiles,
} from './support/import-graph.js';

/** The floors of the house, and what each of them may import beside itself. */
const FLOORS: Readonly<Record<string, readonly string[]>> = {
  kvcache: [],
  scheduler: ['kvcache'],
  engine: ['scheduler', 'kvcache'],
  // A client, which ships: it takes the table of errors and random numbers, and knows no server.
  'bench/serve': ['engine'],
  server: ['bench/serve', 'engine', 'scheduler', 'kvcache'],
  // Measurements, which do not ship.
  bench: ['bench/serve', 'server', 'engine', 'scheduler', 'kvcache'],
};

/**
 * Imports between folders that close a circle today, as `from -> to`. Without them there is none.
 * The list may only become shorter: an entry that closes no circle any more fails the test.
 */
const KNOWN: readonly string[] = [];

const files = [...new Set(Object.keys(FLOORS).flatMap((folder) => sourceFiles(folder)))];
const imports = importsOf(files);

/** The longest name of a floor that a path begins with. */
function floorOf(file: string): string {
  const names = Object.keys(FLOORS).filter((name) => file.startsWith(`${name}/`));
  return names.sort((a, b) => b.length - a.length)[0];
}

/** A folder and those inside it are one room: either may import the other. */
function isOneRoom(a: string, b: string): boolean {
  return a === b || a.startsWith(`${b}/`) || b.startsWith(`${a}/`);
}

describe('architecture', () => {
  it('reads the imports', () => {
    expect(files.length).toBeGreaterThan(300);
    expect(imports.length).toBeGreaterThan(1000);
    expect(imports).toContainEqual({
      from: 'scheduler/scheduler.ts',
      to: 'kvcache/kv-cache-manager.ts',
    });
  });

  it('imports run one way: server -> engine -> scheduler -> kvcache', () => {
    const wrong = imports.filter(({ from, to }) => {
      const [floor, other] = [floorOf(from), floorOf(to)];
      return floor !== other && !FLOORS[floor].includes(other);
    });
    expect(wrong).toEqual([]);
  });

  it('scheduler and kvcache need no package, and the engine none for the network, save to download models, to fetch images, and for the tier in Redis', () => {
    const used = (folder: string, except = /^$/): string[] => [
      ...new Set(
        sourceFiles(folder)
          .filter((file) => !except.test(file))
          .flatMap(packagesOf),
      ),
    ];
    expect(used('kvcache').filter((name) => name !== 'node:crypto')).toEqual([]);
    expect(used('scheduler')).toEqual([]);
    const http = /^(fastify|@fastify\/|undici|ioredis|pino|prom-client|commander|node:https?$)/;
    const outer = /^engine\/(hub\/|tiers\/redis-|vision\/load-bytes)/;
    expect(used('engine', outer).filter((name) => http.test(name))).toEqual([]);
  });

  it('no files import each other in a circle, types included', () => {
    expect(circlesOf(graphOf(imports))).toEqual([]);
  });

  it('folders import each other in circles only by known arrows, each of which still closes one', () => {
    const arrows = imports
      .map(({ from, to }): ImportArrow => ({ from: dirname(from), to: dirname(to) }))
      .filter(({ from, to }) => !isOneRoom(from, to));
    const graph = graphOf(arrows.filter(({ from, to }) => !KNOWN.includes(`${from} -> ${to}`)));
    expect(circlesOf(graph)).toEqual([]);
    const all = new Set(arrows.map(({ from, to }) => `${from} -> ${to}`));
    const needless = KNOWN.filter((arrow) => {
      const [from, to] = arrow.split(' -> ');
      return !all.has(arrow) || !pathBetween(graph, to, from);
    });
    expect(needless).toEqual([]);
  });
});

import { clipName } from '../clip.js';
import { OctavoError } from '../errors.js';
import type { AdapterTarget, AttentionSite, ImportedModel } from '../importer/imported-model.js';
import type { Adapter, LowRankUpdate } from './adapter.js';

/** What an adapter adds to one matmul of the graph: rows are ranks. */
export interface PlacedUpdate {
  readonly rank: number;
  /** `[rank, inputs]` */
  readonly first: Float32Array;
  /** `[rank, outputs]` */
  readonly second: Float32Array;
}

/** What is needed of a model to place adapters in it. */
export type AdaptableModel = Pick<ImportedModel, 'adapterTargets' | 'sites'>;

/** Which columns of a matmul are which outputs of a module. */
interface Piece {
  readonly target: AdapterTarget;
  readonly firstColumn: number;
  readonly firstRow: number;
  readonly count: number;
}

/** Position of queries, keys and values in a matmul that computes all three. */
const PACKED: Readonly<Record<string, number>> = { q_proj: 0, k_proj: 1, v_proj: 2 };

/**
 * Finds the matmuls that compute an adapter's modules.
 *
 * @returns by the target's position in `adapterTargets`; targets that it leaves alone are absent
 * @throws OctavoError `adapter_invalid` for a module that no matmul computes, or of other sizes
 */
export function placeAdapter(
  { directory, updates }: Adapter,
  model: AdaptableModel,
): ReadonlyMap<number, PlacedUpdate> {
  const placed = new Map<number, PlacedUpdate>();
  for (const update of updates) {
    const pieces = piecesOf(update, model);
    if (pieces.length === 0) throw unknownModule(directory, update, model);
    for (const piece of pieces) {
      const { target } = piece;
      checkSizes(directory, update, piece, pieces);
      const index = model.adapterTargets.indexOf(target);
      const own = cutOut(update, piece);
      const known = placed.get(index);
      if (known && target.parts === 1) throw unknownModule(directory, update, model);
      placed.set(index, known ? joined(known, own) : own);
    }
  }
  return placed;
}

const MODULE = /(?:^|\.)(?:layers|h|blocks)\.(\d+)\.(.+)$/;

function piecesOf(update: LowRankUpdate, model: AdaptableModel): Piece[] {
  const match = MODULE.exec(update.module);
  if (!match) return [];
  const [layer, path] = [Number(match[1]), match[2]];
  const inLayer = model.adapterTargets.filter((target) => target.layer === layer);
  const own = sameModule(inLayer, path);
  if (own.length > 0) {
    return own.map((target) => ({
      target,
      firstColumn: 0,
      firstRow: target.firstRow,
      count: target.outputs,
    }));
  }
  return packedPiece(inLayer, lastName(path), model.sites[layer]);
}

const lastName = (path: string): string => path.slice(path.lastIndexOf('.') + 1);

/** Targets of the module: exporters may call what is around it otherwise, but not the module. */
function sameModule(targets: readonly AdapterTarget[], path: string): AdapterTarget[] {
  const equal = targets.filter((target) => target.path === path);
  if (equal.length > 0) return equal;
  const similar = targets.filter((target) => lastName(target.path) === lastName(path));
  return new Set(similar.map((target) => target.path)).size === 1 ? similar : [];
}

/** Queries, keys or values as columns of `qkv_proj`, in which exporters join the three. */
function packedPiece(
  targets: readonly AdapterTarget[],
  name: string,
  site: AttentionSite | undefined,
): Piece[] {
  const position = PACKED[name];
  const target = targets.find(({ path }) => lastName(path) === 'qkv_proj');
  if (position === undefined || !target || !site) return [];
  const [query, key] = [site.numHeads * site.headSize, site.numKvHeads * site.headSize];
  if (target.outputs !== query + 2 * key) return [];
  const firstColumn = [0, query, query + key][position];
  return [{ target, firstColumn, firstRow: 0, count: position === 0 ? query : key }];
}

function checkSizes(
  directory: string,
  { module, inputs, outputs }: LowRankUpdate,
  { target }: Piece,
  pieces: readonly Piece[],
): void {
  const wanted = pieces.reduce((sum, { count }) => sum + count, 0);
  if (inputs === target.inputs && outputs === wanted) return;
  throw new OctavoError(
    'adapter_invalid',
    `${directory}: ${clipName(module)} has ${inputs} inputs and ${outputs} outputs, but the model's has ` +
      `${target.inputs} and ${wanted}: the adapter was made for another model`,
  );
}

/** The part of an update that one matmul computes, with zeros in its other columns. */
function cutOut({ rank, first, second }: LowRankUpdate, piece: Piece): PlacedUpdate {
  const { outputs, sortedHeads = 0 } = piece.target;
  const turned = new Float32Array(rank * outputs);
  for (let column = 0; column < piece.count; column++) {
    const row = piece.firstRow + (sortedHeads > 0 ? unsorted(column, sortedHeads) : column);
    for (let r = 0; r < rank; r++) {
      turned[r * outputs + piece.firstColumn + column] = second[row * rank + r];
    }
  }
  return { rank, first, second: turned };
}

/** The module's row that is stored as row `at`. */
function unsorted(at: number, size: number): number {
  const inHead = at % size;
  return at - inHead + (inHead % 2) * (size / 2) + Math.floor(inHead / 2);
}

/** Two modules of one matmul: each has ranks of its own. */
function joined(a: PlacedUpdate, b: PlacedUpdate): PlacedUpdate {
  const both = (x: Float32Array, y: Float32Array): Float32Array => {
    const all = new Float32Array(x.length + y.length);
    all.set(x);
    all.set(y, x.length);
    return all;
  };
  return {
    rank: a.rank + b.rank,
    first: both(a.first, b.first),
    second: both(a.second, b.second),
  };
}

function unknownModule(
  directory: string,
  { module }: LowRankUpdate,
  { adapterTargets }: AdaptableModel,
): OctavoError {
  const names = [...new Set(adapterTargets.map(({ path }) => path))];
  const known =
    names.length > 0
      ? `adapters may change ${names.join(', ')} of its layers`
      : 'its graph does not name the matmuls of its layers: serve its safetensors instead';
  return new OctavoError(
    'adapter_invalid',
    `${directory}: ${clipName(module)} is nothing that this model computes by a matmul of its own; ${known}`,
  );
}

import type { OctavoError } from '../../errors.js';
import { checkKeywords, schemaError } from './keywords.js';
import { child, type Located, type Meet, type SchemaDocument } from './located.js';

/** Maximum number of alternatives of one value, over all `anyOf` of a schema together. */
const MAX_ALTERNATIVES = 200;

/** Maximum nesting of `anyOf` and `oneOf`, references included: each level is a recursive call. */
const MAX_DEPTH = 100;

/**
 * Resolves `$ref`, `allOf`, `anyOf` and `oneOf` into lists: a value is valid when all schemas of
 * one list accept it by their own keywords. A list is a set of places in the document, so there are
 * finitely many lists, whatever the references.
 *
 * @param onExclusive receives each `oneOf` with the lists of its branches, which must be proved
 *   disjoint
 * @param above the surrounding `anyOf` and `oneOf`
 * @throws OctavoError `invalid_request`
 */
export function alternatives(
  meet: Meet,
  document: SchemaDocument,
  onExclusive: (branches: readonly (readonly Meet[])[], pointer: string) => void = () => undefined,
  above: readonly string[] = [],
): Meet[] {
  let lists = [new Map<string, Located>()];
  const queue = [...meet];
  const pending: { branches: Located[]; keyword: 'anyOf' | 'oneOf'; at: string }[] = [];
  const first = lists[0];
  if (above.length > MAX_DEPTH) {
    throw schemaError(
      above[above.length - 1],
      `more than ${MAX_DEPTH} alternatives inside of each other`,
    );
  }
  // The queue grows while it is read.
  for (const next of queue) {
    if (first.has(next.pointer)) continue;
    first.set(next.pointer, next);
    checkKeywords(next.schema, next.pointer);
    const { schema, pointer } = next;
    if (typeof schema === 'boolean') continue;
    if (schema['$ref'] !== undefined) queue.push(document.resolve(schema['$ref'], pointer));
    for (const branch of branchesOf(next, 'allOf')) queue.push(branch);
    for (const keyword of ['anyOf', 'oneOf'] as const) {
      const branches = branchesOf(next, keyword);
      if (branches.length === 0) continue;
      const at = `${pointer}/${keyword}`;
      if (above.includes(at)) throw schemaError(at, 'an alternative that refers to itself');
      pending.push({ branches, keyword, at });
    }
  }
  for (const { branches, keyword, at } of pending) {
    if (branches.length > MAX_ALTERNATIVES) throw tooMany(at);
    const expanded = branches.map((branch) =>
      alternatives([branch], document, onExclusive, [...above, at]),
    );
    if (expanded.flat().length > MAX_ALTERNATIVES) throw tooMany(at);
    if (keyword === 'oneOf') {
      const base = [...first.values()];
      onExclusive(
        expanded.map((branch) => branch.map((list) => [...base, ...list])),
        at,
      );
    }
    lists = lists.flatMap((list) =>
      expanded.flat().map((more) => {
        const added = more.map((each): [string, Located] => [each.pointer, each]);
        return new Map([...list, ...added]);
      }),
    );
    if (lists.length > MAX_ALTERNATIVES) throw tooMany(at);
  }
  return lists.map((list) => Array.from(list.values()));
}

const tooMany = (at: string): OctavoError =>
  schemaError(at, `more than ${MAX_ALTERNATIVES} alternatives together`);

function branchesOf(located: Located, keyword: 'allOf' | 'anyOf' | 'oneOf'): Located[] {
  const { schema, pointer } = located;
  const value = typeof schema === 'boolean' ? undefined : schema[keyword];
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length === 0) {
    throw schemaError(`${pointer}/${keyword}`, 'must be a list of at least one schema');
  }
  return value.map((_, index) => child(located, keyword, String(index)));
}

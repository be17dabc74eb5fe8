import { isTerminalName, type Refuse, type Token } from './lark-tokens.js';

/** What may stand between lexemes, under a name that no grammar can have. */
export const IGNORED = '%ignore';

/** A name in the definition of another one. */
export interface NameUse {
  readonly name: string;
  readonly token: Token;
  /** What is defined; `IGNORED` for what a directive says. */
  readonly by: string;
}

/**
 * @param defined names of rules and terminals
 * @throws OctavoError for an unknown name, and in terminals for rules and recursion
 */
export function checkNames(
  defined: ReadonlySet<string>,
  uses: readonly NameUse[],
  refuse: Refuse,
): void {
  if (!defined.has('start')) throw refuse('there is no rule start', 1);
  const terminals = new Map<string, string[]>();
  for (const { name, token, by } of uses) {
    if (!defined.has(name)) throw refuse(`${name} is not defined`, token.line);
    if (by !== IGNORED && !isTerminalName(by)) continue;
    if (!isTerminalName(name)) {
      throw refuse(`the terminal ${by} refers to the rule ${name}`, token.line);
    }
    const known = terminals.get(by);
    if (known) known.push(name);
    else terminals.set(by, [name]);
  }
  const circular = inCircle(terminals);
  const use = uses.find(({ by }) => by === circular);
  if (use) throw refuse(`the terminal ${circular} refers to itself`, use.token.line);
}

/** @returns a name that refers to itself, by way of others; null: none does */
function inCircle(references: ReadonlyMap<string, readonly string[]>): string | null {
  // A chain of names may be as long as a grammar: it is no recursion.
  const [open, done] = [new Set<string>(), new Set<string>()];
  for (const root of references.keys()) {
    const path = [root];
    for (let name = path.at(-1); name !== undefined; name = path.at(-1)) {
      if (open.has(name) || done.has(name)) {
        open.delete(name);
        done.add(name);
        path.pop();
        continue;
      }
      open.add(name);
      for (const next of references.get(name) ?? []) {
        if (open.has(next)) return next;
        if (!done.has(next)) path.push(next);
      }
    }
  }
  return null;
}

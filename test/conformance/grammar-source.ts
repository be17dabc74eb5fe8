import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type {
  GrammarConstraint,
  GrammarRequest,
  GrammarSource,
} from '../../engine/core/grammar-source.js';
import type { TokenId } from '../../scheduler/ids.js';

export interface GrammarFixture {
  /** The text of each token; letters have tokens of their own. */
  readonly vocabulary: readonly string[];
  readonly eos: TokenId;
  readonly create: () => GrammarSource;
}

/**
 * What every source of grammars promises, of grammars that list their texts. To be called with
 * each.
 */
export function describeGrammarSource(
  name: string,
  { vocabulary, eos, create }: GrammarFixture,
): void {
  describe(`${name}, as any source of grammars`, () => {
    let source: GrammarSource;
    beforeAll(() => {
      source = create();
    });
    afterAll(() => source.close());

    const tokenOf = (text: string): TokenId => vocabulary.indexOf(text) as TokenId;

    const requestOf = (choices: readonly string[], more: Partial<GrammarRequest> = {}) => ({
      spec: { kind: 'choice', choices } as const,
      client: '',
      count: 1,
      stopTokenIds: [eos],
      eosTokenIds: [eos],
      isLongest: false,
      ...more,
    });

    function constrain(
      choices: readonly string[],
      more: Partial<GrammarRequest> = {},
    ): Promise<readonly GrammarConstraint[]> {
      return source.constrain(requestOf(choices, more), new AbortController().signal);
    }

    /** Texts of the tokens that may come next; the end as `$`. */
    async function next(constraint: GrammarConstraint): Promise<string[]> {
      await constraint.whenReady();
      expect(constraint.isReady()).toBe(true);
      const mask = constraint.mask();
      expect(constraint.failure).toBeNull();
      if (!mask) throw new Error('no mask');
      return vocabulary
        .flatMap((text, id) =>
          (mask[id >>> 5] >>> (id & 31)) & 1 ? [id === eos ? '$' : text] : [],
        )
        .toSorted();
    }

    it('gives each completion a constraint with a state of its own, whose first mask is known', async () => {
      const made = await constrain(['xy', 'xz'], { count: 2 });
      expect(made.map((constraint) => constraint.isReady())).toEqual([true, true]);
      const [a, b] = made;
      a.accept(tokenOf('x'));
      expect(await next(a)).toEqual(['y', 'z']);
      expect(await next(b)).toEqual(['x']);
      a.accept(tokenOf('z'));
      expect(await next(a)).toEqual(['$']);
      for (const constraint of made) constraint.dispose();
    });

    it('allows all stop tokens where the text may end, and none elsewhere', async () => {
      const stop = tokenOf('z');
      const [c] = await constrain(['x', 'xy'], { stopTokenIds: [eos, stop] });
      expect(await next(c)).toEqual(['x']);
      c.accept(tokenOf('x'));
      expect(await next(c)).toEqual(['$', 'y', 'z']);
      c.dispose();
    });

    it('ends the longest text only where it cannot go on', async () => {
      const [c] = await constrain(['x', 'xy'], { isLongest: true });
      c.accept(tokenOf('x'));
      expect(await next(c)).toEqual(['y']);
      c.accept(tokenOf('y'));
      expect(await next(c)).toEqual(['$']);
      c.dispose();
    });

    it('takes tokens back, and no more than there were', async () => {
      const [c] = await constrain(['xyz', 'xz']);
      for (const letter of ['x', 'y', 'z']) c.accept(tokenOf(letter));
      c.rollback(2);
      expect(await next(c)).toEqual(['y', 'z']);
      c.rollback(1);
      expect(await next(c)).toEqual(['x']);
      expect(() => c.rollback(1)).toThrow(RangeError);
      c.dispose();
    });

    it('takes several tokens without a look at the masks between them', async () => {
      const [c] = await constrain(['xyz']);
      for (const letter of ['x', 'y', 'z']) c.accept(tokenOf(letter));
      expect(await next(c)).toEqual(['$']);
      c.dispose();
    });

    it('goes on with the others when one has ended', async () => {
      const [ended, other] = await constrain(['xy'], { count: 2 });
      ended.dispose();
      other.accept(tokenOf('x'));
      expect(await next(other)).toEqual(['y']);
      other.dispose();
    });

    it('refuses what it cannot compile, and a model that cannot end a text', async () => {
      const broken = { kind: 'regex', source: '(' } as const;
      await expect(constrain([], { spec: broken })).rejects.toMatchObject({
        kind: 'invalid_request',
      });
      await expect(constrain(['x'], { eosTokenIds: [] })).rejects.toMatchObject({
        kind: 'invalid_request',
      });
    });

    it('compiles nothing for a client that has left', async () => {
      const reason = new Error('gone');
      const signal = AbortSignal.abort(reason);
      await expect(source.constrain(requestOf(['x']), signal)).rejects.toBe(reason);
    });

    it('may be closed twice, and is at an end then', async () => {
      const other = create();
      await other.close();
      await other.close();
      const constrained = other.constrain(requestOf(['x']), new AbortController().signal);
      await expect(constrained).rejects.toMatchObject({ kind: 'draining' });
    });
  });
}

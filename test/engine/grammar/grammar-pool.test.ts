import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, afterEach, describe, expect, it, onTestFinished } from 'vitest';
import type { GrammarConstraint } from '../../../engine/core/grammar-source.js';
import {
  GRAMMAR_DEFAULTS,
  GrammarPool,
  type GrammarPoolOptions,
} from '../../../engine/grammar/grammar-pool.js';
import type { GrammarSpec } from '../../../engine/protocol/request.js';
import { readTokenBytes } from '../../../engine/text/tokenizer/vocabulary.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { fallbackTokenizer, writeModelDir } from '../../support/tiny-tokenizers.js';

const TINY = fileURLToPath(new URL('../../../models/octavo-tiny', import.meta.url));
const EOS = 2 as TokenId;
const pools: GrammarPool[] = [];

afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
});

/** For tests that leave it as it was: a thread takes a while to start. */
const shared = new GrammarPool({ ...GRAMMAR_DEFAULTS, modelDir: TINY, vocabSize: 2048 });
afterAll(() => shared.close());

function startPool(options: Partial<GrammarPoolOptions> = {}): GrammarPool {
  const pool = new GrammarPool({
    ...GRAMMAR_DEFAULTS,
    modelDir: TINY,
    vocabSize: 2048,
    ...options,
  });
  pools.push(pool);
  return pool;
}

const regex = (source: string): GrammarSpec => ({ kind: 'regex', source });

/** Compiles for seconds, on a fast machine, too. */
const LONG = { kind: 'json-schema', source: '{"type":"string","maxLength":900}' } as const;

function constrain(
  pool: GrammarPool,
  spec: GrammarSpec,
  more: {
    count?: number;
    stops?: readonly number[];
    isLongest?: boolean;
    signal?: AbortSignal;
    client?: string;
    eos?: readonly number[];
  } = {},
): Promise<readonly GrammarConstraint[]> {
  const { count = 1, stops = [EOS], isLongest = false, eos = [EOS], client = '' } = more;
  const signal = more.signal ?? new AbortController().signal;
  return pool.constrain(
    {
      spec,
      client,
      count,
      stopTokenIds: stops as TokenId[],
      eosTokenIds: eos as TokenId[],
      isLongest,
    },
    signal,
  );
}

const vocabulary = await readTokenBytes(TINY, 2048);
const tokenOf = (text: string): TokenId =>
  vocabulary.findIndex((bytes) => Buffer.from(bytes).toString() === text) as TokenId;

/** Texts of the tokens that a mask allows; the end as `$`. */
function allowed(constraint: GrammarConstraint): string[] {
  const mask = constraint.mask();
  if (!mask) throw constraint.failure ?? new Error('no mask');
  return vocabulary
    .map((bytes, id) =>
      (mask[id >>> 5] >>> (id & 31)) & 1
        ? id === EOS
          ? '$'
          : Buffer.from(bytes).toString()
        : null,
    )
    .filter((text) => text !== null)
    .toSorted();
}

describe('GrammarPool', () => {
  it('loads nothing before the first grammar, and gives each completion a state of its own', async () => {
    const pool = startPool();
    expect(pool.threads).toBe(0);
    const [a, b] = await constrain(pool, regex('x[yz]'), { count: 2 });
    expect(pool.threads).toBe(1);
    expect(allowed(a)).toEqual(['x']);
    a.accept(tokenOf('x'));
    expect(allowed(a)).toEqual(['y', 'z']);
    expect(allowed(b)).toEqual(['x']);
    a.accept(tokenOf('z'));
    expect(allowed(a)).toEqual(['$']);
    a.accept(EOS);
  });

  it('allows stop tokens where the text may end, and there only', async () => {
    const stop = tokenOf('y');
    const [c] = await constrain(shared, regex('xy?x*'), { stops: [EOS, stop] });
    expect(allowed(c)).toEqual(['x']);
    c.accept(tokenOf('x'));
    expect(allowed(c)).toContain('y');
    expect(allowed(c)).toContain('$');
  });

  it('ends with ignore_eos only where the text cannot go on', async () => {
    const [c] = await constrain(shared, regex('x?'), { isLongest: true });
    expect(allowed(c)).toEqual(['x']);
    c.accept(tokenOf('x'));
    expect(allowed(c)).toEqual(['$']);
  });

  it('takes tokens back: the mask is again the one that stood before them', async () => {
    const spec = { kind: 'json-schema', source: '{"type":"object"}' } as const;
    const [walked, fresh] = await constrain(shared, spec, { count: 2 });
    /** Takes a token that the mask allows. @returns null at an end */
    const walk = (pick: number): TokenId | null => {
      const mask = maskOf(walked);
      const ids = vocabulary.flatMap((_, id) => ((mask[id >>> 5] >>> (id & 31)) & 1 ? [id] : []));
      const token = ids[pick % ids.length] as TokenId;
      walked.accept(token);
      return token === EOS ? null : token;
    };
    const maskOf = (constraint: GrammarConstraint): Int32Array => {
      const mask = constraint.mask();
      if (!mask) throw constraint.failure ?? new Error('no mask');
      return Int32Array.from(mask);
    };
    const moves = fc.array(
      fc.record({ picks: fc.array(fc.nat(5000), { minLength: 1, maxLength: 6 }), back: fc.nat(6) }),
      { minLength: 1, maxLength: 6 },
    );
    fc.assert(
      fc.property(moves, (rounds) => {
        const kept: TokenId[] = [];
        for (const { picks, back } of rounds) {
          for (const pick of picks) {
            const token = walk(pick);
            kept.push(token ?? EOS);
            if (token === null) break;
          }
          const count = Math.min(Math.max(back, kept.at(-1) === EOS ? 1 : 0), kept.length);
          walked.rollback(count);
          kept.length -= count;
        }
        // Several at once, without a look at the masks between them.
        for (const token of kept) fresh.accept(token);
        expect(maskOf(walked)).toEqual(maskOf(fresh));
        walked.rollback(kept.length);
        fresh.rollback(kept.length);
      }),
      { numRuns: 60 },
    );
    expect(() => walked.rollback(1)).toThrow(RangeError);
    walked.dispose();
    fresh.dispose();
  });

  it('says when a mask is there, and when its thread is gone', async () => {
    const pool = startPool();
    const [a, b] = await constrain(pool, regex('x*'), { count: 2 });
    expect(a.isReady()).toBe(true);
    a.accept(tokenOf('x'));
    await a.whenReady();
    expect(a.isReady()).toBe(true);
    b.accept(tokenOf('x'));
    const ready = b.whenReady();
    await pool.close();
    await ready;
    expect(b.mask()).toBeNull();
    expect(b.failure?.kind).toBe('draining');
  });

  it('compiles a grammar once', async () => {
    const pool = startPool();
    const spec = { kind: 'json-object' } as const;
    const both = await Promise.all([constrain(pool, spec), constrain(pool, spec)]);
    expect(pool.threads).toBe(1);
    for (const [constraint] of both) constraint.dispose();
  });

  it('never compiles where a matcher is in use', async () => {
    const pool = startPool({ maxThreads: 3 });
    const [a] = await constrain(pool, regex('a+'));
    const [b] = await constrain(pool, regex('b+'));
    expect(pool.threads).toBe(2);
    let isDone = false;
    const third = constrain(pool, regex('c+')).then((made) => {
      isDone = true;
      return made;
    });
    const fourth = constrain(pool, regex('d+'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(isDone).toBe(false);
    // One thread is drained for them: it takes no new matcher, though it has the grammar.
    a.dispose();
    const [[c], [d]] = await Promise.all([third, fourth]);
    expect(allowed(c)).toContain('c');
    expect(allowed(d)).toContain('d');
    expect(allowed(b)).toContain('b');
    expect(pool.threads).toBe(2);
  });

  it('lets a request go that is aborted while its grammar waits or compiles', async () => {
    const pool = startPool({ maxThreads: 1 });
    const [a] = await constrain(pool, regex('a+'));
    const controller = new AbortController();
    const waiting = constrain(pool, regex('b+'), { signal: controller.signal });
    controller.abort();
    await expect(waiting).rejects.toThrow('abort');
    a.dispose();
    const [c] = await constrain(pool, regex('c+'));
    expect(allowed(c)).toContain('c');
  });

  it('refuses what does not compile, and goes on', async () => {
    const pool = shared;
    await expect(constrain(pool, regex('('))).rejects.toMatchObject({ kind: 'invalid_request' });
    await expect(constrain(pool, regex('a'), { eos: [] })).rejects.toThrow('end-of-text');
    const [a] = await constrain(pool, regex('a'));
    expect(allowed(a)).toEqual(['a']);
  });

  it('replaces a thread whose instance aborts, and only the request at fault hears of it', async () => {
    const pool = startPool();
    const [good] = await constrain(pool, regex('a{3}'));
    // Something that the thread does not survive, as an abort of the library.
    const bad = constrain(pool, { kind: 'unknown' } as never);
    await expect(bad).rejects.toThrow('the grammar cannot be compiled');
    expect(allowed(good)).toContain('a');
    good.accept(tokenOf('a'));
    expect(allowed(good)).toContain('a');
    const [after] = await constrain(pool, regex('b'));
    expect(allowed(after)).toEqual(['b']);
  });

  it('tells matchers of a thread that dies, and starts another', async () => {
    const pool = startPool({ maxThreads: 1 });
    const [a] = await constrain(pool, regex('a+'));
    // The same grammar, so the same thread; it does not survive these.
    const bad = constrain(pool, regex('a+'), { stops: [2n] as never });
    await expect(bad).rejects.toThrow('grammar thread has ended');
    expect(a.mask()).toBeNull();
    expect(a.failure).toMatchObject({ kind: 'internal' });
    const [b] = await constrain(pool, regex('a+'));
    expect(allowed(b)).toContain('a');
  });

  it('gives up a compilation that takes too long, and those behind it go on', async () => {
    const pool = startPool({ maxThreads: 1, compileTimeoutMs: 1000 });
    await constrain(pool, regex('x')).then(([c]) => c.dispose());
    const slow = constrain(pool, LONG).catch((error: unknown) => error);
    const quick = constrain(pool, regex('y'));
    expect(await slow).toMatchObject({
      kind: 'invalid_request',
      message: expect.stringContaining('took more than') as string,
    });
    expect(allowed((await quick)[0])).toEqual(['y']);
  });

  it.each(['that runs', 'that waits until its thread is loaded'])(
    'ends a compilation that nobody waits for any more, one %s',
    async (which) => {
      const pool = startPool({ maxThreads: 1 });
      const isLoaded = which === 'that runs';
      if (isLoaded) await constrain(pool, regex('x')).then(([c]) => c.dispose());
      const controller = new AbortController();
      let started = 0;
      const count = (): void => void started++;
      process.on('worker', count);
      onTestFinished(() => void process.off('worker', count));
      const slow = constrain(pool, LONG, { signal: controller.signal }).catch(() => 'left');
      await new Promise((resolve) => setTimeout(resolve, isLoaded ? 100 : 1));
      controller.abort();
      expect(await slow).toBe('left');
      const [quick] = await constrain(pool, regex('y'));
      expect(allowed(quick)).toEqual(['y']);
      // Its thread was ended, not waited for: another one has compiled the next.
      expect(started).toBe(isLoaded ? 1 : 2);
    },
  );

  it('leaves a thread for others, whatever one client compiles', async () => {
    const pool = startPool({ maxThreads: 3 });
    const controller = new AbortController();
    const { signal } = controller;
    const slow = [1, 2, 3].map((n) =>
      constrain(
        pool,
        { ...LONG, source: LONG.source.replace('900', `90${n}`) },
        {
          client: 'attacker',
          signal,
        },
      ).catch(() => 'left'),
    );
    // On one thread: half of three. The others wait for it.
    expect(pool.threads).toBe(1);
    const [quick] = await constrain(pool, regex('y'), { client: 'innocent' });
    expect(allowed(quick)).toEqual(['y']);
    expect(pool.threads).toBe(2);
    controller.abort();
    expect(await Promise.all(slow)).toEqual(['left', 'left', 'left']);
  });

  it('leaves a thread for others, whatever one client matches', async () => {
    const pool = startPool({ maxThreads: 3 });
    const [a] = await constrain(pool, regex('a+'), { client: 'one' });
    await constrain(pool, regex('b+'), { client: 'one' });
    let isDone = false;
    const third = constrain(pool, regex('c+'), { client: 'one' }).finally(() => (isDone = true));
    const [other] = await constrain(pool, regex('d+'), { client: 'two' });
    expect(allowed(other)).toContain('d');
    expect([isDone, pool.threads]).toEqual([false, 3]);
    a.dispose();
    expect(allowed((await third)[0])).toContain('c');
  });

  it('lets no one wait for a slow compilation of another that it came along with', async () => {
    const pool = startPool({ maxThreads: 2, patienceMs: 50 });
    const [holder] = await constrain(pool, regex('a+'), { client: 'holder' });
    const controller = new AbortController();
    const { signal } = controller;
    const slow = constrain(pool, LONG, { client: 'attacker', signal }).catch(() => 'left');
    // All threads are in use, so it comes along; and looks for another one as soon as that takes
    // too long.
    const quick = constrain(pool, regex('b+'), { client: 'innocent' });
    setTimeout(() => holder.dispose(), 500);
    expect(allowed((await quick)[0])).toContain('b');
    expect(signal.aborted).toBe(false);
    controller.abort();
    expect(await slow).toBe('left');
  });

  it('forgets grammars, or the thread, when memory grows', async () => {
    const pool = startPool({ threadMemoryBytes: 1 });
    for (let i = 0; i < 2; i++) {
      const [c] = await constrain(pool, regex(`a{${i + 1}}`));
      expect(allowed(c)).toContain('a');
      c.dispose();
      expect(pool.threads).toBe(0);
    }
  });

  it('says when no token can go on', async () => {
    const modelDir = await writeModelDir({
      'tokenizer.json': {
        model: { vocab: { a: 0, b: 1 } },
        decoder: null,
        added_tokens: [{ id: 2, content: '<end>', special: true }],
      },
    });
    const [c] = await constrain(startPool({ modelDir, vocabSize: 3 }), regex('[ac]c'));
    c.mask();
    c.accept(0 as TokenId);
    expect(c.mask()).toBeNull();
    expect(c.failure?.message).toContain('no token');
  });

  it('rejects what waits when it is closed', async () => {
    const pool = startPool();
    const waiting = constrain(pool, regex('a')).catch((error: unknown) => error);
    await pool.close();
    expect(await waiting).toMatchObject({ kind: 'draining' });
    await expect(constrain(pool, regex('a'))).rejects.toMatchObject({ kind: 'draining' });
  });
});

describe('readTokenBytes', () => {
  it('reads SentencePiece with byte fallback', async () => {
    const dir = await writeModelDir({ 'tokenizer.json': fallbackTokenizer() });
    const texts = (await readTokenBytes(dir, 270)).map((bytes) =>
      Buffer.from(bytes).toString('latin1'),
    );
    // It is no special token in this file, so a text shows it.
    expect(texts[0]).toBe('<unk>');
    expect(texts[3 + 0xe2]).toBe('\xe2');
    expect(texts.slice(259, 262)).toEqual([' one', ' two', 'a']);
    expect(texts.slice(264, 270)).toEqual(['', '<tool_call>', '', '', '', '']);
  });

  it('names a file that is none', async () => {
    const dir = await writeModelDir({ 'tokenizer.json': '{"model": {}}' });
    await expect(readTokenBytes(dir, 3)).rejects.toMatchObject({ kind: 'model_file_corrupt' });
  });
});

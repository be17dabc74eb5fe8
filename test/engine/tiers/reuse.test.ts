import { describe, expect, it } from 'vitest';
import type { BlockKey } from '../../../engine/tiers/block-tier.js';
import { Reuse } from '../../../engine/tiers/reuse.js';

const key = (name: string): BlockKey => `0:${name}` as BlockKey;

/** Contents that follow each other; those of the prompt are asked for, then all are stored. */
function turn(reuse: Reuse, prompt: string, output: string): void {
  const names = Array.from(prompt + output);
  for (const name of prompt) reuse.asked(key(name));
  for (const [i, name] of names.entries()) {
    reuse.stored(key(name), i === 0 ? null : key(names[i - 1]));
  }
}

const kept = (reuse: Reuse, names: string): string =>
  Array.from(names)
    .filter((name) => reuse.isReused(key(name)))
    .join('');

describe('which contents are asked for again', () => {
  it('those that a second sequence asks for, and none of what only one does', () => {
    const reuse = new Reuse();
    turn(reuse, 'SPa', 'x');
    expect(kept(reuse, 'SPax')).toBe('');
    turn(reuse, 'SPb', 'y');
    turn(reuse, 'SPc', 'z');
    expect(kept(reuse, 'SPabcxyz')).toBe('SP');
  });

  it('those that a sequence finds in the pages', () => {
    const reuse = new Reuse();
    turn(reuse, 'Sa', 'x');
    reuse.reused(key('S'));
    expect(kept(reuse, 'Sax')).toBe('S');
  });

  it('a conversation that has come back, with all that follows', () => {
    const reuse = new Reuse();
    turn(reuse, 'Sa', 'xy');
    turn(reuse, 'Saxyb', 'z');
    expect(kept(reuse, 'Saxybz')).toBe('Saxybz');
    // Another one with the same system prompt is not meant.
    turn(reuse, 'Sc', 'w');
    expect(kept(reuse, 'Scw')).toBe('S');
    // Found in the pages instead.
    reuse.reused(key('w'));
    reuse.asked(key('d'));
    reuse.stored(key('d'), key('w'));
    expect(kept(reuse, 'cwd')).toBe('wd');
  });

  it('what other servers were asked for, or have generated', () => {
    const reuse = new Reuse();
    for (const name of 'Saxb') reuse.asked(key(name));
    for (const name of 'Sa') reuse.reused(key(name));
    reuse.continued(key('x'));
    for (const [i, name] of Array.from('Saxby').entries()) {
      reuse.stored(key(name), i === 0 ? null : key('Saxby'[i - 1]));
    }
    expect(kept(reuse, 'Saxby')).toBe('Saxby');
  });

  it('says what was generated', () => {
    const reuse = new Reuse();
    reuse.asked(key('S'));
    expect([reuse.stored(key('S'), null), reuse.stored(key('x'), key('S'))]).toEqual([false, true]);
  });
});

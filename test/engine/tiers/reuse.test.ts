import { describe, expect, it } from 'vitest';
import { Reuse } from '../../../engine/tiers/reuse.js';
import type { BlockHash } from '../../../kvcache/ids.js';

const hashOf = (name: string): BlockHash => name as BlockHash;

/** Contents that follow each other; those of the prompt are asked for, then all are stored. */
function turn(reuse: Reuse, prompt: string, output: string): void {
  const names = Array.from(prompt + output);
  for (const name of prompt) reuse.asked(hashOf(name));
  for (const [i, name] of names.entries()) {
    reuse.stored(hashOf(name), i === 0 ? null : hashOf(names[i - 1]));
  }
}

const kept = (reuse: Reuse, names: string): string =>
  Array.from(names)
    .filter((name) => reuse.isReused(hashOf(name)))
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
    reuse.reused(hashOf('S'));
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
    reuse.reused(hashOf('w'));
    reuse.asked(hashOf('d'));
    reuse.stored(hashOf('d'), hashOf('w'));
    expect(kept(reuse, 'cwd')).toBe('wd');
  });

  it('what other servers were asked for, or have generated', () => {
    const reuse = new Reuse();
    for (const name of 'Saxb') reuse.asked(hashOf(name));
    for (const name of 'Sa') reuse.reused(hashOf(name));
    reuse.continued(hashOf('x'));
    for (const [i, name] of Array.from('Saxby').entries()) {
      reuse.stored(hashOf(name), i === 0 ? null : hashOf('Saxby'[i - 1]));
    }
    expect(kept(reuse, 'Saxby')).toBe('Saxby');
  });

  it('says what was generated', () => {
    const reuse = new Reuse();
    reuse.asked(hashOf('S'));
    expect([reuse.stored(hashOf('S'), null), reuse.stored(hashOf('x'), hashOf('S'))]).toEqual([
      false,
      true,
    ]);
  });
});

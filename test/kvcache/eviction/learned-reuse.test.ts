import { describe, expect, it } from 'vitest';
import { LearnedReuse } from '../../../kvcache/eviction/learned-reuse.js';
import { NO_REUSE_HINT, type ReuseHint, SequenceBlocks } from '../../../kvcache/sequence-blocks.js';
import { contentHash, rootOf } from '../../support/sequences.js';

/** A sequence that gives back committed blocks with these contents. */
function sequenceOf(names: readonly string[], reuse: ReuseHint = NO_REUSE_HINT): SequenceBlocks {
  const sequence = new SequenceBlocks(rootOf(), 1, [], reuse);
  sequence.hashes.push(...names.map(contentHash));
  sequence.numCommitted = names.length;
  return sequence;
}

const keyed = (key: string): ReuseHint => ({ key, isRetained: false });

describe('LearnedReuse', () => {
  it('keeps all while it knows nothing, and says nothing of sequences without full blocks', () => {
    const predictor = new LearnedReuse(16);
    expect([...predictor.predict(sequenceOf(['a', 'b']), false)]).toEqual([1, 1]);
    expect([...predictor.predict(sequenceOf([]), false)]).toEqual([]);
  });

  it('learns by the first block that what follows it never returns, but itself does', () => {
    const predictor = new LearnedReuse(16);
    let bits: number[] = [];
    for (let i = 0; i < 300; i++) {
      bits = [...predictor.predict(sequenceOf(['system', `q ${i}`, `a ${i}`]), false)];
    }
    expect(bits).toEqual([1, 0, 0]);
  });

  it('learns by key, where first blocks say nothing', () => {
    const predictor = new LearnedReuse(64);
    const say = (name: string, key: string): number =>
      predictor.predict(sequenceOf([name], keyed(key)), false)[0];
    for (let i = 0; i < 400; i++) {
      say(`once ${i}`, 'batch');
      say(`chat ${i}`, 'chat');
      say(`chat ${i}`, 'chat');
    }
    expect([say('new', 'batch'), say('another', 'chat')]).toEqual([0, 1]);
  });

  it('keeps what a request wants to be kept, and what a preempted sequence will need', () => {
    const predictor = new LearnedReuse(16);
    for (let i = 0; i < 300; i++) predictor.predict(sequenceOf([`once ${i}`]), false);
    expect([...predictor.predict(sequenceOf(['x']), false)]).toEqual([0]);
    expect([...predictor.predict(sequenceOf(['y']), true)]).toEqual([1]);
    const retained = { key: null, isRetained: true };
    expect([...predictor.predict(sequenceOf(['z'], retained), false)]).toEqual([1]);
  });

  it('remembers the groups that were used last', () => {
    const predictor = new LearnedReuse(4);
    for (let i = 0; i < 3000; i++) predictor.predict(sequenceOf([`first ${i}`]), false);
    expect(predictor.numGroups).toBe(1024);
  });
});

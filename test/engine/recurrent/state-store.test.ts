import { afterAll, describe, expect, it } from 'vitest';
import { KernelAttention } from '../../../engine/attention/kernel-attention.js';
import { ReferenceAttention } from '../../../engine/attention/reference-attention.js';
import { planCache } from '../../../engine/recurrent/cache-plan.js';
import { StateStore } from '../../../engine/recurrent/state-store.js';
import { transferOf } from '../../../engine/tiers/block-transfer.js';
import { describeBlockStore, STORE_BLOCKS } from '../../conformance/block-store.js';
import { describeBlockTransfer } from '../../conformance/block-transfer.js';
import { plainLayer } from '../../support/attention-cases.js';

const made: KernelAttention[] = [];
afterAll(async () => {
  for (const attention of made) await attention.dispose();
});

const SIZES = {
  blockSize: 4,
  kvDtype: 'int8',
  maxModelLength: 64,
  maxNumBatchedTokens: 16,
} as const;

/** @param stateBytes by recurrent layer */
function create(stateBytes: readonly number[], kind: 'kernel' | 'reference' | 'no attention') {
  const layers = kind === 'no attention' ? [] : [plainLayer(8), plainLayer(8)];
  const recurrent = stateBytes.map((bytes) => ({ stateBytes: bytes }));
  const { pages, states } = planCache(layers, SIZES, recurrent);
  const config = { layers, layout: pages, numBlocks: STORE_BLOCKS, threads: 1, ...SIZES };
  if (kind === 'no attention') return { states, store: new StateStore(null, states, STORE_BLOCKS) };
  // The reference stores float32 in any format, and so has larger pages than the plan's.
  if (kind === 'reference') {
    const attention = new ReferenceAttention(config);
    const bytesPerBlock = Math.max(states.bytesPerBlock, attention.pages.bytesPerBlock);
    return {
      states,
      store: new StateStore(attention.pages, { ...states, bytesPerBlock }, STORE_BLOCKS),
    };
  }
  const attention = new KernelAttention(config);
  made.push(attention);
  return { states, store: new StateStore(attention.pages, states, STORE_BLOCKS) };
}

describeBlockStore('states over pages', () => create([10, 30], 'kernel').store);
describeBlockStore('states larger than the pages', () => create([193], 'kernel').store);
describeBlockStore('states over pages of the reference', () => create([100], 'reference').store);
describeBlockStore('states without pages', () => create([5, 33], 'no attention').store);

describeBlockTransfer('states over pages', async () => {
  const { store } = create([10, 30], 'kernel');
  return {
    transfer: transferOf(store),
    copy: (copies) => {
      for (const { from, to } of copies) store.copy(from, to);
    },
    dispose: () => undefined,
  };
});

describe('a store of states', () => {
  it.each([
    ['one group', [40, 20], 'kernel', 1],
    ['a block larger than its pages', [193], 'kernel', 1],
    ['three groups', [300, 200], 'kernel', 3],
    ['no attention', [70, 7], 'no attention', 1],
  ] as const)('keeps checkpoints, in %s', (_name, stateBytes, kind, numGroups) => {
    const { states, store } = create(stateBytes, kind);
    expect(states.groups).toHaveLength(numGroups);
    const checkpoint = (salt: number): Uint8Array =>
      Uint8Array.from({ length: states.bytesPerCheckpoint }, (_, i) => (i * 7 + salt) % 253);
    const blocksOf = (n: number): number[] => states.groups.map((_, group) => 2 * group + n);
    store.writeState(blocksOf(0), 0, checkpoint(1));
    store.writeState(blocksOf(1), 0, checkpoint(2));
    const into = new Uint8Array(states.bytesPerCheckpoint);
    for (const n of [0, 1]) {
      store.readState(blocksOf(n), 0, into);
      expect(into).toEqual(checkpoint(1 + n));
    }
    // As a fork gets it.
    for (const block of blocksOf(0)) store.copy(block, block + 1);
    store.readState(blocksOf(1), 0, into);
    expect(into).toEqual(checkpoint(1));
  });

  it('says what to do when the system does not give the memory', () => {
    const { states } = create([100], 'no attention');
    // More bytes than an array can have.
    const huge = { ...states, bytesPerBlock: 2 ** 53 };
    expect(() => new StateStore(null, huge, 1)).toThrow(
      /memory for the states of recurrent layers .*: lower --kv-cache-memory/,
    );
  });
});

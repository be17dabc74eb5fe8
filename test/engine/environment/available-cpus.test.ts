import { describe, expect, it } from 'vitest';
import { availableCpus } from '../../../engine/environment/available-cpus.js';

const V2 = '/sys/fs/cgroup/cpu.max';
const QUOTA = '/sys/fs/cgroup/cpu/cpu.cfs_quota_us';
const PERIOD = '/sys/fs/cgroup/cpu/cpu.cfs_period_us';

describe('processors in a container', () => {
  it.each([
    ['no control group', {}, 8],
    ['version 2 without a limit', { [V2]: 'max 100000\n' }, 8],
    ['--cpus 2', { [V2]: '200000 100000\n' }, 2],
    ['--cpus 2.5', { [V2]: '250000 100000\n' }, 2],
    ['--cpus 0.5 is one thread', { [V2]: '50000 100000\n' }, 1],
    ['more than there are', { [V2]: '1600000 100000\n' }, 8],
    ['version 1', { [QUOTA]: '300000\n', [PERIOD]: '100000\n' }, 3],
    ['version 1 without a limit', { [QUOTA]: '-1\n', [PERIOD]: '100000\n' }, 8],
    ['something else in the file', { [V2]: 'what\n' }, 8],
  ])('%s', (_what, files: Record<string, string>, expected) => {
    expect(availableCpus({ parallelism: 8, read: (path) => files[path] ?? null })).toBe(expected);
  });
});

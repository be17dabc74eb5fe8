import { defineConfig } from 'vitest/config';

/** Measures delays: it has the machine to itself, after all others. */
const ALONE = 'test/reliability/soak.test.ts';

export default defineConfig({
  test: {
    // Engine tests run real worker threads and ONNX sessions: separate processes keep a native crash
    // inside one file, and two of them match the smallest machine that we support.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    reporters: ['default', './test/support/summary-reporter.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'all',
          include: ['test/**/*.test.ts'],
          exclude: [ALONE],
          globalSetup: './test/support/run-directory.ts',
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'alone',
          include: [ALONE],
          globalSetup: './test/support/run-directory.ts',
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});

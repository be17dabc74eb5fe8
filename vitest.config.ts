import { defineConfig } from 'vitest/config';

/** They measure delays: each has the machine to itself, after all others. */
const ALONE = ['test/reliability/grammar-attacks.test.ts', 'test/reliability/soak.test.ts'];

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
          exclude: ALONE,
          globalSetup: './test/support/run-directory.ts',
          sequence: { groupOrder: 0 },
        },
      },
      ...ALONE.map((file, index) => ({
        extends: true as const,
        test: {
          name: `alone-${index}`,
          include: [file],
          globalSetup: './test/support/run-directory.ts',
          sequence: { groupOrder: 1 + index },
        },
      })),
    ],
  },
});

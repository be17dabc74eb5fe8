import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Engine tests run real worker threads and ONNX sessions: separate processes keep a native crash
    // inside one file, and two of them match the smallest machine that we support.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    globalSetup: './test/support/run-directory.ts',
    reporters: ['default', './test/support/summary-reporter.ts'],
  },
});

import type { Reporter, TestModule } from 'vitest/node';

/** Prints the line that the contract asks for, last and alone: `N passed, N failed, N skipped`. */
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      // A file that fails to load has no tests, and must not read as success.
      if (module.state() === 'failed' && module.children.size === 0) count.failed += 1;
      for (const test of module.children.allTests()) count[test.result().state] += 1;
    }
    const line = `${count.passed} passed, ${count.failed} failed, ${count.skipped + count.pending} skipped`;
    // Other reporters print in the same hook; the end of the process is the one moment after them
    // all.
    process.once('exit', () => process.stdout.write(`\n${line}\n`));
  }
}

#!/usr/bin/env node
import { readSystemLimits, tooLittleFor } from './config/system-limits.js';

// The rest is loaded only after this check: with too few open files, loading fails with a message
// of Node's own.
const problem = tooLittleFor(process.argv[2], readSystemLimits());
if (problem) {
  process.stderr.write(`octavo: ${problem.message}\n`);
  process.exitCode = problem.entry.exitCode;
} else {
  const { main } = await import('./main.js');
  // Not `process.exit`: output that is still buffered for a pipe would be lost.
  process.exitCode = await main();
}

import { defineConfig } from 'vitest/config';
import { availableCpus } from './engine/environment/available-cpus.js';
import { availableMemory } from './engine/environment/available-memory.js';
import { workerCount } from './test/support/worker-count.js';

/** Pure logic: no thread, no model, no socket. All of it runs in seconds. */
const UNIT = [
  'test/*.test.ts',
  'test/{docs,scheduler,kvcache}/**/*.test.ts',
  'test/engine/speculation/**/*.test.ts',
  // By name, wherever they stand.
  ...[
    '{copy-outs,engine-loop,output-queue,prompt-rows,step-report,warm-up}',
    '{keywords,languages,productive,sizes,wide-vectors}',
    '{candidates,random}',
    '{merge-streams,message-reader,output-budget,output-items,custom-input,reasoning}',
    '{queue,output-lengths,output-memory,rate-limiter,waiting-time}',
    '{formats,parsers,*-parsers,round-trip}',
  ].map((names) => `test/{engine,server}/**/${names}.test.ts`),
];

/** They measure delays: each has the machine to itself, after all others. */
const ALONE = ['grammar-attacks', 'prompt-attacks', 'misfortunes', 'soak'].map(
  (name) => `test/reliability/${name}.test.ts`,
);

interface Project {
  readonly name: string;
  readonly include: readonly string[];
  readonly exclude?: readonly string[];
  /** Projects of one number run side by side, after those of smaller ones. */
  readonly groupOrder?: number;
}

const PROJECTS: readonly Project[] = [
  { name: 'unit', include: UNIT },
  { name: 'engine', include: ['test/engine/**/*.test.ts'], exclude: UNIT },
  { name: 'e2e', include: ['test/{e2e,clients,fuzz,reliability}/**/*.test.ts'], exclude: ALONE },
  // All the rest, so that no file is in no project.
  {
    name: 'server',
    include: ['test/**/*.test.ts'],
    exclude: [...UNIT, 'test/{engine,e2e,clients,fuzz,reliability}/**'],
  },
  ...ALONE.map((file, i) => ({ name: `alone-${i}`, include: [file], groupOrder: 1 + i })),
];

const drawsTheSame = process.argv.includes('--coverage') || process.env['CI'] === 'true';

export default defineConfig({
  test: {
    // Engine tests run real worker threads and ONNX sessions: separate processes keep a native
    // crash inside one file.
    pool: 'forks',
    maxWorkers: workerCount(availableCpus(), availableMemory().bytes),
    // Against hangs only: a busy machine takes many times what a quiet one does.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 120_000 } },
    diff: { truncateThreshold: 100 },
    reporters: ['./test/support/short-errors.ts', 'default', './test/support/summary-reporter.ts'],
    coverage: {
      provider: 'v8',
      reporter: ['text'],
      include: ['scheduler/**/*.ts', 'kvcache/**/*.ts'],
      // It throws where the code contradicts itself; no test can make it do so through the front
      // door.
      ignoreClassMethods: ['checkIntegrity'],
      thresholds: { perFile: true, branches: 100 },
    },
    projects: PROJECTS.map(({ name, include, exclude = [], groupOrder = 0 }) => ({
      extends: true as const,
      test: {
        name,
        include: [...include],
        exclude: ['**/node_modules/**', ...exclude],
        globalSetup: './test/support/run-directory.ts',
        setupFiles: drawsTheSame ? ['./test/support/property-seed.ts'] : [],
        sequence: { groupOrder },
      },
    })),
  },
});

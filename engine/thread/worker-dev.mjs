// Runs the engine's thread from TypeScript sources: `new Worker('worker.ts')` does not use a loader
// that the main thread has registered. Compiled code starts worker.js directly.
import { register } from 'tsx/esm/api';

register();
await import('./worker.ts');

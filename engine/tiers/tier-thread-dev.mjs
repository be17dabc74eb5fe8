// Runs the thread from TypeScript sources: `new Worker('tier-thread.ts')` does not use a loader
// that the main thread has registered. Compiled code starts tier-thread.js directly.
import { register } from 'tsx/esm/api';

register();
await import('./tier-thread.ts');

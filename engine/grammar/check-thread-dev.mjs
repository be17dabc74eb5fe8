// Runs a check thread from TypeScript sources, as worker-dev.mjs does it for the engine's.
import { register } from 'tsx/esm/api';

register();
await import('./check-thread.ts');

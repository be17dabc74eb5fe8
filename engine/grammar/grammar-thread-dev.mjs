// Runs a grammar thread from TypeScript sources, as worker-dev.mjs does it for the engine's.
import { register } from 'tsx/esm/api';

register();
await import('./grammar-thread.ts');

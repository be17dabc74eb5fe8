// Runs a grammar thread from TypeScript sources, as worker-dev.mjs does for the engine's thread.
import { register } from 'tsx/esm/api';

register();
await import('./grammar-thread.ts');

// As engine/thread/worker-dev.mjs: the thread from TypeScript sources.
import { register } from 'tsx/esm/api';

register();
await import('./worker.ts');

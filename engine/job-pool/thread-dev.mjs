// Runs a thread from TypeScript sources, as worker-dev.mjs does for the engine's thread. Its
// argument is the file.
import { register } from 'tsx/esm/api';

register();
await import(process.argv[2]);

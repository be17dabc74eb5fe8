// Entry point for programs with their own server: `import { octavo } from 'octavo/server'`.
export { type OctavoPluginOptions, octavo } from './mount/fastify-plugin.js';
export {
  createFetchHandler,
  type FetchHandler,
  type FetchHandlerOptions,
} from './mount/fetch-handler.js';
export type { MountOptions, MountSettings } from './mount/mounted-server.js';

import { Type } from 'typebox';
import { extra, size } from '../../engine/setting-schema.js';

/** Settings of a server's models: which there are, and which are loaded at a time. */
export const MODEL_SETTINGS = {
  /** Of an engine, it is one; a server takes several. */
  model: Type.Array(Type.String({ minLength: 1 }), {
    ...extra({
      description:
        'directory or GGUF file of the model, or owner/name[@revision][:quantization] on the hub; serve takes several, each as name=model if it is to have another name, the first for requests that name none (default: the embedded octavo-tiny)',
      group: 'Model',
      scope: 'engine',
      value: 'model',
    }),
    default: [],
  }),
  modelsDir: Type.Optional(
    Type.String({
      ...extra({
        description:
          'directory of models, each a directory or a .gguf file; they are served by their names, beside those of --model (default: none)',
        group: 'Model',
        scope: 'server',
        value: 'dir',
      }),
      minLength: 1,
    }),
  ),
  allowPull: Type.Boolean({
    ...extra({
      description:
        'requests may name any model of the hub, owner/name, which is then fetched; also allows /api/pull and /api/delete',
      group: 'Model',
      scope: 'server',
    }),
    default: false,
  }),
  keepAlive: Type.String({
    ...extra({
      description:
        'for how long a model stays loaded that no request asks for: 5m, 1h30m, or seconds; -1: always',
      group: 'Model',
      scope: 'server',
      value: 'time',
      allowed: 'a time such as 5m, 30s or 1h30m, or seconds; -1 for always',
    }),
    pattern: '^(-1|\\d+(\\.\\d+)?|(\\d+(\\.\\d+)?(ms|s|m|h))+)$',
    default: '-1',
  }),
  maxLoadedModels: Type.Integer({
    ...extra({
      description:
        'models that are loaded at a time; the one that was not asked for longest makes room; 0: any number',
      group: 'Model',
      scope: 'server',
    }),
    minimum: 0,
    maximum: 1024,
    default: 3,
  }),
  modelMemory: Type.Optional(
    size({
      description:
        'memory of all loaded models, weights and KV caches: 16GiB, or bytes; again, others make room (default: no limit)',
      group: 'Model',
      scope: 'server',
    }),
  ),
  modelLoadTimeout: Type.Number({
    ...extra({
      description: 'seconds that a request may wait for its model to be loaded; longer is a 503',
      group: 'Model',
      scope: 'server',
    }),
    minimum: 1,
    maximum: 86_400,
    default: 300,
  }),
};

import { Type } from 'typebox';
import { extra } from './setting-schema.js';

/** Settings of LoRA adapters; a part of `ENGINE_SETTINGS`. */
export const ADAPTER_SETTINGS = {
  lora: Type.Array(Type.String({ pattern: '^[^=]+=.+$' }), {
    ...extra({
      description:
        'LoRA adapter that requests name as their model (--adapter of octavo generate), and the directory that PEFT has written, repeatable (default: none)',
      group: 'Model',
      scope: 'engine',
      value: 'name=dir',
      allowed: 'a name, = and a directory',
      alias: '--lora-modules',
    }),
    default: [],
  }),
  enableLora: Type.Boolean({
    ...extra({
      description: 'prepares the model for adapters that are loaded later; --lora does so, too',
      group: 'Model',
      scope: 'server',
    }),
    default: false,
  }),
  maxLoras: Type.Integer({
    ...extra({ description: 'adapters in memory at one time', group: 'Model', scope: 'engine' }),
    minimum: 1,
    maximum: 4096,
    default: 8,
  }),
  maxLoraRank: Type.Integer({
    ...extra({
      description: 'largest rank of an adapter; larger ones are refused',
      group: 'Model',
      scope: 'engine',
    }),
    minimum: 1,
    maximum: 1024,
    default: 64,
  }),
};

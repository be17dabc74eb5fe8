import { Type } from 'typebox';
import { extra, size } from '../setting-schema.js';

/** Settings of models that read images. */
export const VISION_SETTINGS = {
  limitMmPerPrompt: Type.Optional(
    Type.String({
      ...extra({
        description: 'images in one prompt at most, in vLLM\'s form: {"image": 4} (default: 8)',
        group: 'Model',
        scope: 'server',
        value: 'json',
        allowed: '{"image": N}, with N from 0 to 9999',
      }),
      pattern: '^\\{\\s*"image"\\s*:\\s*\\d{1,4}\\s*\\}$',
    }),
  ),
  allowedMediaDomains: Type.Array(Type.String({ minLength: 1 }), {
    ...extra({
      description:
        'host from which images of messages may be fetched, repeatable (default: none; images come as data URLs)',
      group: 'Model',
      scope: 'server',
      value: 'host',
    }),
    default: [],
  }),
  encoderCacheMemory: Type.Optional(
    size({
      description:
        'memory for the rows of images that were encoded, so that they come again at once (default: 256MiB)',
      group: 'Model',
      scope: 'server',
    }),
  ),
};

/** Images of one prompt, by the setting's text. */
export function maxImagesOf(limit = '8'): number {
  return Number(/\d+/.exec(limit)?.[0]);
}

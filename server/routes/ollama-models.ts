import { packageVersion } from '../../engine/environment/package-root.js';
import { OctavoError } from '../../engine/errors.js';
import type { RequestHost } from '../generation/run-in-flight.js';
import { ModelNameSchema, nameOf, PullSchema } from '../ollama/fields.js';
import { capabilitiesOf, factsOf, type ModelFacts, UNKNOWN } from '../ollama/model-details.js';
import { pullModel } from '../ollama/pull.js';
import type { ModelEntry } from '../pool/model-entry.js';
import type { Models } from '../pool/models.js';
import type { TypedApp } from './typed-app.js';

/** The version of Ollama whose API this is: clients compare it before they use newer parts. */
const OLLAMA_VERSION = '0.12.11';

/** Of a model that stays loaded: Ollama writes a time far away, too. */
const NEVER = '9999-12-31T23:59:59Z';

/** Names have a tag there, and `latest` is that of those without. */
const tagged = (name: string): string => (name.includes(':') ? name : `${name}:latest`);

/**
 * Ollama's API, as far as it is about models.
 *
 * @param allowPull whether clients may have models fetched and deleted
 */
export function addOllamaModelRoutes(
  app: TypedApp,
  models: Models,
  host: RequestHost,
  allowPull: boolean,
): void {
  const known = async (entry: ModelEntry): Promise<ModelFacts> => {
    try {
      return await factsOf(entry);
    } catch (error) {
      // One that is damaged must not hide the others.
      host.logger.warn({ err: error, model: entry.name }, 'octavo: a model cannot be described');
      return UNKNOWN;
    }
  };
  const listed = async (entry: ModelEntry) => {
    const facts = await known(entry);
    const name = tagged(entry.name);
    const { digest, details } = facts;
    return { facts, shown: { name, model: name, digest, details } };
  };
  const asTag = async (entry: ModelEntry) => {
    const { facts, shown } = await listed(entry);
    return { ...shown, size: facts.size, modified_at: facts.modifiedAt };
  };
  const asLoaded = async (entry: ModelEntry) => {
    const { facts, shown } = await listed(entry);
    const bytes = entry.bytes ?? facts.size;
    return {
      ...shown,
      size: bytes,
      size_vram: entry.service?.engine.info.device === 'cpu' ? 0 : bytes,
      context_length: entry.contextLength,
      expires_at: expiryOf(entry),
    };
  };

  app.get('/api/version', async () => ({ version: OLLAMA_VERSION, octavo: packageVersion() }));

  app.get('/api/tags', async () => ({ models: await Promise.all(models.all.map(asTag)) }));

  app.get('/api/ps', async () => {
    const loaded = models.all.filter(({ service }) => service !== null);
    return { models: await Promise.all(loaded.map(asLoaded)) };
  });

  app.post('/api/show', { schema: { body: ModelNameSchema } }, async ({ body }) => {
    const entry = models.find(nameOf(body));
    const facts = await factsOf(entry);
    const { details, info, template, modifiedAt, contextLength } = facts;
    const family = String(info['general.architecture'] ?? 'unknown');
    return {
      license: '',
      modelfile: '',
      parameters: '',
      template,
      details,
      model_info: {
        'general.architecture': family,
        ...info,
        ...(contextLength !== null && { [`${family}.context_length`]: contextLength }),
      },
      capabilities: capabilitiesOf(facts),
      modified_at: modifiedAt,
    };
  });

  app.post('/api/pull', { schema: { body: PullSchema } }, async (request, reply) => {
    const name = nameOf(request.body);
    if (!allowPull) {
      const message = `the model '${name}' is not fetched: the server runs without --allow-pull`;
      throw new OctavoError('pull_not_allowed', message, { param: 'model' });
    }
    return pullModel(host, models.find(name), reply, request.body.stream !== false);
  });

  app.delete('/api/delete', { schema: { body: ModelNameSchema } }, async ({ body }, reply) => {
    const entry = models.find(nameOf(body));
    const { source } = entry;
    if (!allowPull || !source?.remove) {
      const why = allowPull
        ? 'only models of the hub are deleted here'
        : 'the server runs without --allow-pull';
      const message = `the model '${entry.name}' is not deleted: ${why}`;
      throw new OctavoError('pull_not_allowed', message, { param: 'model' });
    }
    await models.unload(entry);
    await source.remove();
    models.remove(entry);
    return reply.code(200).send('');
  });
}

function expiryOf({ expiresIn }: ModelEntry): string {
  return expiresIn === null ? NEVER : new Date(Date.now() + expiresIn).toISOString();
}

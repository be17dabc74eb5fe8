import { fetchModel } from '../../engine/hub/fetch-model.js';
import { parseHubId } from '../../engine/hub/hub-id.js';
import { readHubSettings } from '../../engine/hub/hub-settings.js';

/**
 * Downloads a model in a process of its own: for tests of two at once, and of one that is killed.
 */
const id = parseHubId(process.argv[2]);
if (!id) throw new Error('owner/name is missing');
const observer = { log: () => undefined, progress: () => undefined };
await fetchModel(id, { settings: await readHubSettings(process.env), dtype: 'auto', observer });

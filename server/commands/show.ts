import { statSync } from 'node:fs';
import { posix } from 'node:path';
import { summaryOf } from '../../engine/architectures/summary.js';
import { ELEMENT_BYTES } from '../../engine/attention/paged-attention.js';
import { ggufModelsAmong } from '../../engine/checkpoint/gguf-names.js';
import { modelKindOf } from '../../engine/encoder/model-kind.js';
import { type FoundModel, findModel } from '../../engine/hub/find-model.js';
import { chooseVariant } from '../../engine/importer/variants.js';
import type { MemoryNeeds } from '../../engine/model/memory-needs.js';
import {
  checkpointOf,
  contentFiles,
  describedModel,
  modelFilesAt,
} from '../../engine/model/open-model.js';
import { readServableConfig } from '../../engine/model/servable-config.js';
import { loadServedModel } from '../../engine/text/served-model.js';
import type { Settings } from '../config/settings.js';
import { fitOf, freeMemory, needsOf } from '../pool/fit.js';
import { shortSize } from '../pool/short-size.js';
import { columns } from './columns.js';
import { downloadObserver } from './progress-bar.js';

/**
 * `octavo show`: what a model is, its sizes, and the memory that it takes. Nothing is loaded; a
 * model of the hub is downloaded first.
 *
 * @throws OctavoError as `findModel` does, and for a model that cannot be read
 */
export async function show(name: string, settings: Settings): Promise<number> {
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  const observer = downloadObserver(process.stderr, log);
  const found = await findModel(name, 'model', settings, observer);
  const files = modelFilesAt(found, settings.dtype);
  const config = await readServableConfig(files);
  const described = await describedModel(files);
  const content = await contentFiles(files);
  const needs = await needsOf(found, settings);
  const { chatTemplate } = await loadServedModel(found.dir, found.names);
  const bytes = content.reduce((sum, file) => sum + statSync(file).size, 0);
  const isEncoder = (await modelKindOf(files)) === 'encoder';
  const kvCacheMemory = isEncoder ? 0 : settings.kvCacheMemory;
  const { line, fits } = fitOf(needs, { kvCacheMemory });
  const free = freeMemory();
  process.stdout.write(
    columns([
      ['model', found.names[0]],
      ['file', content[0]],
      ['size on disk', shortSize(bytes)],
      ['chosen', await reasonOf(found, settings)],
      ...(described ? [['architecture', summaryOf(described.decoder)]] : []),
      ['parameters', millions(needs.parameters)],
      ['context', `${config.maxPositionEmbeddings} tokens`],
      ['chat template', chatTemplate === null ? 'none' : 'yes'],
      ['weights', `${shortSize(needs.weightBytes)} with --quantize ${settings.quantize}`],
      [
        'KV cache',
        isEncoder
          ? 'none: it is an encoder'
          : cacheText(needs, settings, config.maxPositionEmbeddings),
      ],
      ['memory', `${line}: ${fits ? 'it fits' : 'it may not fit'}`],
      ...(free === null ? [] : [['free now', shortSize(free)]]),
    ]),
  );
  return 0;
}

function cacheText(
  { kvBytesPerToken }: MemoryNeeds,
  { kvDtype = 'f32', kvCacheMemory, maxModelLen }: Settings,
  context: number,
): string {
  if (kvBytesPerToken === null) return `${shortSize(kvCacheMemory)}; a token's share is not known`;
  const length = maxModelLen ?? context;
  const held = Math.floor(kvCacheMemory / kvBytesPerToken);
  return (
    `${shortSize(kvBytesPerToken)} a token in ${kvDtype} (${ELEMENT_BYTES[kvDtype]} bytes a number), ${shortSize(kvBytesPerToken * length)} for ${length} tokens; ` +
    `--kv-cache-memory holds ${held} tokens`
  );
}

/** Why this file, and what else there is. */
async function reasonOf(found: FoundModel, { dtype, file }: Settings): Promise<string> {
  if (file !== undefined) return 'by --file';
  const isGguf = /\.gguf$/i.test(found.dir);
  if (!isGguf) {
    return (await checkpointOf({ modelDir: found.dir, dtype })) === null
      ? (await chooseVariant(found.dir, dtype)).reason
      : 'safetensors, as there is no ONNX model';
  }
  const [{ quantization }] = ggufModelsAmong([posix.basename(found.dir)]);
  const kind = quantization === '' ? 'a GGUF file' : `GGUF of ${quantization}`;
  return `${kind}, computed as it is stored`;
}

function millions(count: number): string {
  return count >= 1e9
    ? `${(count / 1e9).toFixed(2)} billion`
    : `${(count / 1e6).toPrecision(3)} million`;
}

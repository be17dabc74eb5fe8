import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { embeddedModelDir } from '../../engine/environment/package-root.js';
import { ModelProtoSchema, TensorProto_DataType } from '../../engine/importer/onnx/onnx_pb.js';
import { uniform } from '../../engine/sampling/random.js';
import { ModelDrafter } from '../../engine/speculation/draft-model/model-drafter.js';
import { StepCosts } from '../../engine/speculation/step-costs.js';
import type { CacheGroup } from '../../kvcache/cache-group.js';
import { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import { PagedModel } from './paged-model.js';
import { historyOf } from './sequences.js';

/** More rows cost nothing: whatever can be drafted is computed. */
export const FREE = new StepCosts([
  { rows: 1, ms: 1 },
  { rows: 1000, ms: 1 },
]);
/** Drafts cost next to nothing. */
export const CHEAP = new StepCosts([
  { rows: 1, ms: 1e-3 },
  { rows: 1000, ms: 1e-3 },
]);

export interface PagedDraftOptions {
  readonly vocabSize: number;
  readonly numBlocks?: number;
  readonly blockSize?: number;
  readonly maxTokens?: number;
  readonly maxLength?: number;
  readonly groups?: readonly CacheGroup[];
  readonly enablePrefixCaching?: boolean;
  /** Default: that of the draft model. */
  readonly targetVocabSize?: number;
}

/** A drafter over the test model, which throws for pages that hold anything else than it reads. */
export function pagedDrafter(options: PagedDraftOptions) {
  const { vocabSize, numBlocks = 64, blockSize = 4, enablePrefixCaching = true } = options;
  const { maxTokens = 32, maxLength = 256, groups, targetVocabSize = vocabSize } = options;
  const shape = { numBlocks, blockSize, ...(groups && { groups }) };
  const model = new PagedModel({ ...shape, vocabSize });
  const cache = new KvCacheManager({
    ...shape,
    enablePrefixCaching,
    history: historyOf(numBlocks),
  });
  const own = { runner: model, cache, vocabSize, targetVocabSize, maxLength, maxTokens };
  return { model, cache, drafter: new ModelDrafter(own) };
}

/**
 * octavo-tiny with other weights: each is changed by a random share of itself.
 *
 * @returns its directory, and how to remove it
 */
export function blurredTiny(share: number): { readonly dir: string; remove(): void } {
  const dir = mkdtempSync(join(tmpdir(), 'octavo-blurred-'));
  cpSync(embeddedModelDir(), dir, {
    recursive: true,
    filter: (path) => !path.includes('training'),
  });
  const file = join(dir, 'onnx/model.onnx');
  const model = fromBinary(ModelProtoSchema, readFileSync(file));
  for (const [t, tensor] of (model.graph?.initializer ?? []).entries()) {
    if (tensor.dataType !== (TensorProto_DataType.FLOAT as number)) continue;
    const values = new Float32Array(new Uint8Array(tensor.rawData).buffer);
    // One random number for 64 weights is enough to change a model.
    for (let i = 0; i < values.length; i++) {
      values[i] *= 1 + share * (2 * uniform(t, i >>> 6) - 1);
    }
    tensor.rawData = new Uint8Array(values.buffer);
  }
  writeFileSync(file, toBinary(ModelProtoSchema, model));
  return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) };
}

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Message } from '../../engine/generation/message.js';
import type { PromptMaker } from '../../engine/generation/prompts/prompt-maker.js';
import type { PromptImage } from '../../engine/protocol/prompt-image.js';
import type { EngineSettings } from '../../engine/settings.js';
import { loadServedModel, type ServedModel } from '../../engine/text/served-model.js';
import { type LoadedEngine, loadEngine } from '../../engine/thread/load-engine.js';
import { createPrompts } from '../../engine/vision/create-prompts.js';
import { placeImages } from '../../engine/vision/place-images.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import { plainRequest } from './plain-request.js';

const FIXTURES = fileURLToPath(new URL('../fixtures/vision', import.meta.url));

const MAX_NUM_SEQS = 8;

export const VISION_MODELS = ['smolvlm', 'qwen2.5-vl', 'gemma3', 'qwen3-vl'] as const;
export type VisionModelName = (typeof VISION_MODELS)[number];

/** What transformers says about one conversation: see test/fixtures/vision/make.py. */
export interface VisionCase {
  /** Texts, and names of pictures. */
  readonly parts: readonly string[];
  readonly promptTokenIds: readonly number[];
  readonly tokens: readonly number[];
  /** float32 of the first token, in base64. */
  readonly logits: string;
  /** Absent without pictures. */
  readonly pixels?: {
    readonly shape: readonly number[];
    readonly sha256: string;
    /** Numbers at equal distances, at most 64. */
    readonly rows: readonly number[];
  };
}

export const visionDir = (name: VisionModelName): string => join(FIXTURES, name);

export function visionCases(name: VisionModelName): readonly VisionCase[] {
  const text = readFileSync(join(visionDir(name), 'golden.json'), 'utf8');
  return (JSON.parse(text) as { cases: VisionCase[] }).cases;
}

export const picture = (name: string): Buffer => readFileSync(join(FIXTURES, 'pictures', name));

export const isPicture = (part: string): boolean => /^\w+\.(png|jpg|webp|gif)$/.test(part);

/** A picture as clients send it. */
export function dataUrl(name: string): string {
  const type = { png: 'png', jpg: 'jpeg', webp: 'webp', gif: 'gif' }[name.split('.')[1] ?? ''];
  return `data:image/${type};base64,${picture(name).toString('base64')}`;
}

/** The conversation of a case in OpenAI's form. */
export function messagesOf({ parts }: Pick<VisionCase, 'parts'>) {
  const content = parts.map((part) =>
    isPicture(part)
      ? { type: 'image_url' as const, image_url: { url: dataUrl(part) } }
      : { type: 'text' as const, text: part },
  );
  return [{ role: 'user' as const, content }] satisfies Message[];
}

/** A model of text and images on this thread, apart from the threads of its prompts. */
export interface VisionEngine extends LoadedEngine {
  readonly name: VisionModelName;
  readonly served: ServedModel;
  readonly prompts: PromptMaker;
  /** The prompt of a conversation. */
  ask(messages: readonly Message[]): Promise<Prompt>;
  close(): Promise<void>;
}

export interface Prompt {
  readonly promptTokenIds: readonly TokenId[];
  readonly images?: readonly PromptImage[];
}

export async function loadVision(
  name: VisionModelName,
  options: {
    readonly maxNumBatchedTokens?: number;
    readonly kvCacheBytes?: number;
    readonly maxModelLength?: number;
    readonly longPrefillThreshold?: number;
    readonly enablePrefixCaching?: boolean;
    readonly settings?: Partial<EngineSettings>;
  } = {},
): Promise<VisionEngine> {
  const modelDir = visionDir(name);
  const loaded = await loadEngine({
    modelDir,
    maxNumSeqs: MAX_NUM_SEQS,
    maxNumBatchedTokens: options.maxNumBatchedTokens ?? 512,
    blockSize: 16,
    kvCacheBytes: options.kvCacheBytes ?? 4 * 2 ** 20,
    maxModelLength: options.maxModelLength ?? null,
    threads: 1,
    enablePrefixCaching: options.enablePrefixCaching ?? true,
    evictionPolicy: 'lru',
    schedulingPolicy: 'fcfs',
    longPrefillThreshold: options.longPrefillThreshold ?? 0,
    kvMetricsSampleRate: 0,
  });
  const served = await loadServedModel(modelDir, []);
  const settings = {
    dtype: 'auto',
    threads: 1,
    maxNumSeqs: MAX_NUM_SEQS,
    encoderCacheMemory: 2 ** 20,
    allowedMediaDomains: [],
    limitMmPerPrompt: '{"image": 8}',
    ...options.settings,
  } as unknown as EngineSettings;
  const prompts = await createPrompts(
    served,
    { dir: modelDir },
    settings,
    loaded.info,
    () => undefined,
  );
  const asker = { client: 'test', signal: new AbortController().signal };
  return {
    ...loaded,
    name,
    served,
    prompts,
    ask: async (messages) => {
      const rendered = await prompts.render(messages, {}, asker);
      const encoding = { addSpecialTokens: false, param: 'messages' };
      const promptTokenIds = await prompts.encode(rendered, encoding, asker);
      const images = placeImages(promptTokenIds, rendered);
      return { promptTokenIds, ...(images && { images }) };
    },
    close: async () => {
      await prompts.close();
      await loaded.runner.dispose();
    },
  };
}

/** Greedy tokens of prompts that run together, and how much of each was cached. */
export async function generate(
  { core }: Pick<VisionEngine, 'core'>,
  prompts: readonly Prompt[],
  maxTokens = 12,
): Promise<{ readonly tokens: number[]; readonly cachedTokens: number }[]> {
  const ids = prompts.map((_, i) => `${i}` as SequenceId);
  for (const [i, prompt] of prompts.entries()) {
    core.add(plainRequest({ ids: [ids[i]], maxTokens, ...prompt }));
  }
  const results = new Map(ids.map((id) => [id, { tokens: [] as number[], cachedTokens: 0 }]));
  while (core.hasWork) {
    for (const { id, tokenIds, cachedTokens } of (await core.step()) ?? []) {
      const result = results.get(id);
      if (!result) throw new Error(`nobody has asked for ${id}`);
      result.tokens.push(...tokenIds);
      result.cachedTokens = cachedTokens;
    }
    core.checkIntegrity();
  }
  return [...results.values()];
}

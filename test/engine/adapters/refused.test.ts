import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Adapter } from '../../../engine/adapters/adapter.js';
import { placeAdapter } from '../../../engine/adapters/place-adapter.js';
import { readAdapter } from '../../../engine/adapters/read-adapter.js';
import type { AdapterTarget } from '../../../engine/importer/imported-model.js';
import { adapterDir } from '../../support/adapters.js';
import { modelDir } from '../../support/model-dir.js';
import { safetensors, type WrittenTensor } from '../../support/safetensors.js';

const CONFIG = { peft_type: 'LORA', r: 2, lora_alpha: 4, bias: 'none' };
const MODULE = 'base_model.model.model.layers.0.self_attn.q_proj';
const A = { name: `${MODULE}.lora_A.weight`, shape: [2, 8] };
const B = { name: `${MODULE}.lora_B.weight`, shape: [4, 2] };

function read(
  config: Readonly<Record<string, unknown>>,
  tensors: readonly WrittenTensor[] = [A, B],
): Promise<Adapter> {
  const files = {
    'adapter_config.json': JSON.stringify({ ...CONFIG, ...config }),
    'adapter_model.safetensors': safetensors(tensors),
  };
  return readAdapter(modelDir(files), 8);
}

describe('an adapter is refused by name', () => {
  it.each([
    [{ use_dora: true }, 'use_dora is true: DoRA scales whole weights by their norms'],
    [{ modules_to_save: ['lm_head'] }, 'modules_to_save is ["lm_head"]: it replaces whole modules'],
    [{ bias: 'lora_only' }, 'bias is "lora_only": it changes biases of the model'],
    [{ lora_bias: true }, 'lora_bias is true: its products have biases'],
    [{ peft_type: 'IA3' }, 'peft_type is "IA3"; only LORA adapters are computed'],
    [{ peft_type: undefined }, 'peft_type is missing; only LORA'],
    [{ alora_invocation_tokens: [1, 2] }, 'an activated LoRA (aLoRA) begins in the middle'],
    [{ init_lora_weights: 'pissa' }, 'init_lora_weights is "pissa", which changes the weights'],
    [{ r: 0 }, 'r is 0; expected a number above 0'],
    [{ lora_alpha: 'x' }, 'lora_alpha is "x"; expected a number above 0'],
    [{ rank_pattern: [3] }, 'rank_pattern is [3]; expected an object of numbers'],
    [{ alpha_pattern: { '(': 3 } }, 'alpha_pattern.( is no regular expression'],
    [{ r: 3 }, 'has the rank 2, but'],
  ])('for its configuration: %o', async (config, message) => {
    await expect(read(config)).rejects.toMatchObject({ kind: 'adapter_invalid' });
    await expect(read(config)).rejects.toThrow(message);
  });

  const wide = [2 * 9, 8] as const;
  it.each([
    [
      'an embedding',
      [{ ...A, name: 'base_model.model.embed_tokens.lora_embedding_A' }],
      'is no matrix of a low-rank product',
    ],
    [
      'a magnitude',
      [A, B, { name: `${MODULE}.lora_magnitude_vector`, shape: [4] }],
      'lora_magnitude_vector is no matrix',
    ],
    ['half of a product', [A], 'lora_B is missing'],
    ['other ranks', [A, { ...B, shape: [4, 3] }], 'are no low-rank product'],
    ['no tensors', [], 'has no low-rank product'],
    [
      'numbers that are none',
      [A, { ...B, values: new Float32Array(8).fill(Number.NaN) }],
      'not finite',
    ],
    ['another type', [A, { ...B, dtype: 'I32' }], 'has the type I32; expected F32, F16, BF16'],
    [
      'a large rank',
      [
        { ...A, shape: wide },
        { ...B, shape: [4, 18] },
      ],
      'raise --max-lora-rank',
    ],
  ])('for %s', async (_, tensors, message) => {
    const r = tensors.some(({ shape }) => shape[0] === 18) ? 18 : 2;
    await expect(read({ r }, tensors)).rejects.toMatchObject({ kind: 'adapter_invalid' });
    await expect(read({ r }, tensors)).rejects.toThrow(message);
  });

  it('for files that are missing or damaged', async () => {
    const messageOf = (files: Readonly<Record<string, Uint8Array | string>>) =>
      readAdapter(modelDir(files), 8).catch((error: unknown) => String(error));
    const config = { 'adapter_config.json': JSON.stringify(CONFIG) };
    expect(await messageOf({})).toContain('adapter_config.json: cannot be read');
    expect(await messageOf({ 'adapter_config.json': '{' })).toContain(
      'adapter_config.json: is not JSON',
    );
    expect(await messageOf(config)).toContain('adapter_model.safetensors: is missing');
    expect(await messageOf({ ...config, 'adapter_model.bin': '' })).toContain(
      'because it may run code',
    );
    const whole = safetensors([A, B]);
    const cut = { ...config, 'adapter_model.safetensors': whole.subarray(0, whole.length - 1) };
    expect(await messageOf(cut)).toContain('adapter_model.safetensors: tensor');
  });
});

describe('the content hash', () => {
  it('is that of the content, wherever it lies', async () => {
    const from = adapterDir('llama2', 'few');
    const other = modelDir({});
    for (const name of ['adapter_config.json', 'adapter_model.safetensors']) {
      copyFileSync(join(from, name), join(other, name));
    }
    const hashOf = async (dir: string) => (await readAdapter(dir, 8)).contentHash;
    expect(await hashOf(other)).toBe(await hashOf(from));
    const config = JSON.parse(readFileSync(join(from, 'adapter_config.json'), 'utf8')) as object;
    const weights = readFileSync(join(from, 'adapter_model.safetensors'));
    const louder = modelDir({
      'adapter_config.json': JSON.stringify({ ...config, lora_alpha: 4 }),
      'adapter_model.safetensors': weights,
    });
    expect(await hashOf(louder)).not.toBe(await hashOf(from));
  });
});

describe('modules of an adapter', () => {
  const target = (path: string, more: Partial<AdapterTarget> = {}): AdapterTarget => ({
    layer: 0,
    path,
    firstRow: 0,
    parts: 1,
    activation: 'x',
    output: path,
    inputs: 8,
    outputs: 4,
    ...more,
  });
  const place = async (targets: readonly AdapterTarget[]) =>
    placeAdapter(await read({}), { adapterTargets: targets, sites: [] });

  it('are found where exporters call what is around them otherwise', async () => {
    const placed = await place([target('attn.k_proj'), target('attn.q_proj')]);
    expect([...placed.keys()]).toEqual([1]);
  });

  it('are refused where the model has none of the name, or of other sizes', async () => {
    await expect(place([target('mlp.up_proj')])).rejects.toThrow(
      'model.layers.0.self_attn.q_proj is nothing that this model computes by a matmul of its own; adapters may change mlp.up_proj of its layers',
    );
    await expect(place([])).rejects.toThrow('serve its safetensors instead');
    await expect(place([target('attn.q_proj', { inputs: 16 })])).rejects.toThrow(
      "has 8 inputs and 4 outputs, but the model's has 16 and 4: the adapter was made for another model",
    );
  });
});

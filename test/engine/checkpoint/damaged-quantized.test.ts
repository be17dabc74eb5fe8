import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { openModel } from '../../../engine/model/open-model.js';
import { quantizedDir } from '../../support/checkpoint-fixtures.js';
import { withHeader } from '../../support/safetensors.js';

const MATRIX = 'model.layers.0.mlp.gate_proj';
const EXPERTS = 'model.layers.0.mlp.experts';

interface Entry {
  dtype: string;
  shape: number[];
  readonly data_offsets: readonly [number, number];
}
type Change = (header: Record<string, Entry>, data: Buffer) => void;

function changed(name: string, change: Change): string {
  const dir = mkdtempSync(join(tmpdir(), 'octavo-test-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  cpSync(quantizedDir(name), dir, { recursive: true });
  const file = join(dir, 'model.safetensors');
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<string, Entry>;
  const data = bytes.subarray(8 + length);
  change(header, data);
  writeFileSync(file, withHeader(JSON.stringify(header), data));
  return dir;
}

const shape =
  (part: string, sizes: number[]): Change =>
  (header) =>
    void (header[`${MATRIX}.${part}`].shape = sizes);
const renamed =
  (part: string): Change =>
  (header) => {
    header['other'] = header[`${MATRIX}.${part}`];
    delete header[`${MATRIX}.${part}`];
  };
const group =
  (input: number, to: number): Change =>
  (header, data) =>
    void data.writeInt32LE(to, header[`${MATRIX}.g_idx`].data_offsets[0] + 4 * input);

const DAMAGES: readonly (readonly [string, string, Change, RegExp])[] = [
  [
    'numbers of another shape',
    'gptq',
    shape('qweight', [8, 24]),
    /gate_proj\.qweight has the shape \[8, 24\]; the quantized matrix .* \[48, 32\] needs \[4, 48\]/,
  ],
  [
    'zero points of another shape',
    'gptq',
    shape('qzeros', [6, 2]),
    /gate_proj\.qzeros has the shape \[6, 2\]; .* needs \[2, 6\]/,
  ],
  [
    'scales of another shape',
    'awq',
    shape('scales', [48, 2]),
    /gate_proj\.scales has the shape \[48, 2\]; .* needs \[any, 48\]/,
  ],
  ['no zero points', 'awq', renamed('qzeros'), /lacks .*gate_proj\.qzeros, which the quantized/],
  ['no scales', 'w8a8', renamed('weight_scale'), /lacks .*gate_proj\.weight_scale/],
  ['no scales of blocks', 'fp8-blocks', renamed('weight_scale_inv'), /lacks .*weight_scale_inv/],
  [
    'scales of other blocks',
    'fp8-blocks',
    shape('weight_scale_inv', [1, 3]),
    /weight_scale_inv has the shape \[1, 3\]; .* needs \[3, 1\]/,
  ],
  [
    'scales of whole numbers',
    'w4a16',
    (header) => void (header[`${MATRIX}.weight_scale`].dtype = 'I16'),
    /weight_scale has the type I16; it must be F32, F16, BF16/,
  ],
  [
    'experts without scales',
    'mxfp4',
    (header) => {
      header['other'] = header[`${EXPERTS}.gate_up_proj_scales`];
      delete header[`${EXPERTS}.gate_up_proj_scales`];
    },
    /lacks .*gate_up_proj_scales, which the weight .* \[4, 64, 64\] in MXFP4 needs/,
  ],
  [
    'experts in blocks of another size',
    'mxfp4',
    (header) => void (header[`${EXPERTS}.down_proj_blocks`].shape = [4, 64, 2, 8]),
    /down_proj_blocks is U8 \[4, 64, 2, 8\]; the weight .* needs U8 \[4, 64, 1, 16\]/,
  ],
  [
    'experts whose scales are floats',
    'mxfp4',
    (header) => void (header[`${EXPERTS}.down_proj_scales`].dtype = 'F8_E8M0'),
    /down_proj_scales is F8_E8M0 \[4, 64, 1\]; .* needs U8 \[4, 64, 1\]/,
  ],
  ['a group that is none', 'gptq', group(3, 2), /g_idx has input 3 in group 2; its groups are 0/],
  ['a group below 0', 'gptq', group(3, -1), /g_idx has input 3 in group -1/],
  [
    'a group with too many inputs',
    'gptq',
    (header, data) => {
      for (let i = 0; i < 32; i++) group(i, 1)(header, data);
    },
    /g_idx has more than 16 inputs in group 1/,
  ],
];

it.each(DAMAGES)(
  'a checkpoint with %s is refused in one line: %s',
  async (_, name, change, reason) => {
    const dir = changed(name, change);
    const error: unknown = await openModel({ modelDir: dir, maxLength: 64 }).catch(
      (e: unknown) => e,
    );
    expect(error).toMatchObject({ name: 'OctavoError', kind: 'model_file_corrupt' });
    const { message } = error as Error;
    expect(message).toMatch(reason);
    expect(message.startsWith(dir)).toBe(true);
    expect(message).not.toContain('\n');
  },
);

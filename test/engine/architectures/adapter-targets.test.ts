import { expect, it } from 'vitest';
import { buildModel } from '../../../engine/architectures/build-model.js';
import { describeModel } from '../../../engine/architectures/describe-model.js';
import { checkpointDir } from '../../support/checkpoint-fixtures.js';

/** Modules of a layer that adapters may change. */
async function targetsOf(name: string, layer: number): Promise<string[]> {
  const model = await describeModel(checkpointDir(name), 'model.safetensors');
  const built = await buildModel(model, { servedLength: 64, hasAdapters: true });
  const own = built.adapterTargets.filter((target) => target.layer === layer);
  return own.map(({ path }) => path).sort();
}

it("a layer that reads others' keys has no module for its own", async () => {
  const attention = ['self_attn.o_proj', 'self_attn.q_proj'];
  const rest = ['mlp.down_proj', 'mlp.gate_proj', 'mlp.up_proj'];
  const inputs = ['per_layer_input_gate', 'per_layer_projection'];
  expect(await targetsOf('gemma4', 4)).toEqual([...rest, ...inputs, ...attention]);
});

it('a matrix that a layer multiplies twice is left out', async () => {
  const paths = await targetsOf('gemma3n', 0);
  expect(paths.filter((path) => path.startsWith('altup.'))).toEqual([
    'altup.correction_coefs',
    'altup.prediction_coefs',
  ]);
  expect(paths).toContain('laurel.linear_left');
});

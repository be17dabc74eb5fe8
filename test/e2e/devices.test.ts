import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { exitCode, runOctavo, startOctavo } from '../support/octavo-process.js';
import { DEVICE_TIMEOUT_MS, hasWebGpu } from '../support/webgpu.js';

const TINY = fileURLToPath(new URL('../../models/octavo-tiny', import.meta.url));

/** A list of drivers that do not exist. */
const NO_GPU = { VK_ICD_FILENAMES: '/nowhere/none.json', VK_DRIVER_FILES: '/nowhere/none.json' };

describe('without a GPU', () => {
  it('octavo devices says what to install, with exit code 1', async () => {
    const { code, stdout } = await runOctavo(['devices'], NO_GPU);
    expect(stdout).toMatch(
      /WebGPU \(--device webgpu\):\n {2}no device: there is no GPU.*\n {2}inst/,
    );
    expect(code).toBe(1);
    const json = await runOctavo(['devices', '--json'], NO_GPU);
    expect(JSON.parse(json.stdout)).toMatchObject({ adapter: null, attention: null });
    expect(json.code).toBe(1);
  });

  it('--device webgpu says what is missing', async () => {
    const { code, stderr } = await runOctavo(['serve', '--device', 'webgpu'], NO_GPU);
    expect(stderr).toMatch(/^octavo: --device webgpu: there is no GPU that WebGPU can use .*\n$/);
    expect(code).toBe(1);
  });

  it('--device auto computes on the CPU, and says why', async () => {
    const { output } = await startOctavo(['--device', 'auto'], NO_GPU);
    expect(output).toMatch(
      /--device auto: computes on the CPU: there is no GPU that WebGPU can use/,
    );
    expect(output).toMatch(/blocks of 16 tokens, f32/);
  });
});

describe.skipIf(!(await hasWebGpu()))('with a device', { timeout: DEVICE_TIMEOUT_MS }, () => {
  it('octavo devices names it, and what its attention is', async () => {
    const { code, stdout } = await runOctavo(['devices', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ problem: null, attention: { plain: null } });
    expect(code).toBe(0);
  });

  it('octavo inspect says that it would serve a model', async () => {
    const { code, stdout } = await runOctavo(['inspect', TINY, '--device', 'webgpu']);
    expect(stdout).toMatch(/\n--device webgpu would serve onnx.*\n(.*\n)*.*made PagedAttention/);
    expect(code).toBe(0);
  });

  it('its failure in the middle ends requests with an error, restarts once, then exits', async () => {
    const preload = new URL('../support/fail-device.mjs', import.meta.url).href;
    const { child, url } = await startOctavo(
      ['--device', 'webgpu', '--kv-cache-memory', '32MiB', '--max-num-batched-tokens', '64'],
      { NODE_OPTIONS: `--import ${preload}`, FAIL_AFTER_RUNS: '20' },
    );
    const code = exitCode(child);
    const health = async (): Promise<number | undefined> =>
      (await fetch(`${url}/health`).catch(() => null))?.status;
    const ask = async (stream: boolean): Promise<string> => {
      const response = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          messages: [{ role: 'user', content: 'Tell me a story.' }],
          max_tokens: 40,
          ignore_eos: true,
          stream,
        }),
      });
      if (!stream) expect(response.status).toBe(500);
      return response.text();
    };
    const failed = /"message":"the engine has failed[^}]*"code":"engine_failed"/;
    const [whole, streamed] = await Promise.all([ask(false), ask(true)]);
    expect(whole).toMatch(failed);
    expect(whole).not.toContain('"choices"');
    expect(streamed).toMatch(failed);
    expect(streamed).not.toContain('[DONE]');
    while ((await health()) !== 200) await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await ask(false)).toMatch(failed);
    expect(await code).toBe(1);
  });
});

import { mkdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readHubSettings } from '../../../engine/hub/hub-settings.js';
import { modelDir } from '../../support/model-dir.js';

const DEFAULT_HOME = join(homedir(), '.cache', 'huggingface');

describe('the environment', () => {
  it("says nothing: the hub's own places", async () => {
    const { endpoint, cacheDir, offline, proxies } = await readHubSettings({});
    expect([endpoint, cacheDir, offline]).toEqual([
      'https://huggingface.co',
      join(DEFAULT_HOME, 'hub'),
      false,
    ]);
    expect(proxies).toEqual({ httpProxy: '', httpsProxy: '', noProxy: '' });
  });

  it.each([
    [{ HF_HUB_CACHE: '/a', HUGGINGFACE_HUB_CACHE: '/b', HF_HOME: '/c' }, '/a'],
    [{ HUGGINGFACE_HUB_CACHE: '/b', HF_HOME: '/c' }, '/b'],
    [{ HF_HOME: '/c', XDG_CACHE_HOME: '/d' }, '/c/hub'],
    [{ XDG_CACHE_HOME: '/d' }, '/d/huggingface/hub'],
    [{ HF_HOME: '~/models' }, join(homedir(), 'models', 'hub')],
    [{ HF_HUB_CACHE: '', HF_HOME: '' }, join(DEFAULT_HOME, 'hub')],
  ])('%j: the cache', async (environment, expected) => {
    expect((await readHubSettings(environment)).cacheDir).toBe(resolve(expected));
  });

  it.each([
    [{ HF_HUB_OFFLINE: '1' }, true],
    [{ HF_HUB_OFFLINE: 'TRUE' }, true],
    [{ HF_HUB_OFFLINE: 'yes' }, true],
    [{ HF_HUB_OFFLINE: '0', TRANSFORMERS_OFFLINE: '1' }, false],
    [{ TRANSFORMERS_OFFLINE: '1' }, true],
  ])('%j: offline %s', async (environment, expected) => {
    expect((await readHubSettings(environment)).offline).toBe(expected);
  });

  it.each(['ftp://hub', 'huggingface.co', 'https://me:secret@hub', 'https://hub/?a=b'])(
    'an HF_ENDPOINT that is none is refused: %s',
    async (endpoint) => {
      await expect(readHubSettings({ HF_ENDPOINT: endpoint })).rejects.toMatchObject({
        kind: 'usage',
        message: expect.stringMatching(
          /^HF_ENDPOINT .*: must be an http:\/\/ or https:\/\/ URL/,
        ) as string,
      });
    },
  );

  it('an HF_ENDPOINT may have a path, and slashes at its end', async () => {
    const { endpoint } = await readHubSettings({ HF_ENDPOINT: 'https://mirror.example/hf//' });
    expect(endpoint).toBe('https://mirror.example/hf');
  });

  it.each(['socks5://proxy:1080', 'proxy:3128', 'nonsense'])(
    'a proxy of another kind is refused: %s',
    async (proxy) => {
      await expect(readHubSettings({ https_proxy: proxy })).rejects.toMatchObject({
        kind: 'usage',
        message: 'HTTPS_PROXY: must be an http:// or https:// URL',
      });
    },
  );
});

describe('a token', () => {
  const home = (): string => {
    const dir = modelDir({ token: 'hf_saved\n' });
    mkdirSync(join(dir, 'other'));
    writeFileSync(join(dir, 'other', 'token'), 'hf_other');
    return dir;
  };

  it.each([
    [{ HF_TOKEN: ' hf_env\n' }, 'hf_env'],
    [{ HUGGING_FACE_HUB_TOKEN: 'hf_legacy' }, 'hf_legacy'],
    [{}, 'hf_saved'],
    [{ HF_TOKEN: '' }, 'hf_saved'],
    [{ HF_TOKEN: 'hf_env', HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' }, undefined],
  ])('is found: %j', async (environment, expected) => {
    const { token } = await readHubSettings({ HF_HOME: home(), ...environment });
    expect(token?.value).toBe(expected);
  });

  it('may be kept elsewhere', async () => {
    const dir = home();
    const path = join(dir, 'other', 'token');
    const { token } = await readHubSettings({ HF_HOME: dir, HF_TOKEN_PATH: path });
    expect(token).toEqual({ value: 'hf_other', source: path });
  });

  it('that no header can carry is refused, and not repeated', async () => {
    const failure = readHubSettings({ HF_TOKEN: 'hf_a b\nc' });
    await expect(failure).rejects.toThrow('HF_TOKEN: a token is one line of ASCII without spaces');
  });
});

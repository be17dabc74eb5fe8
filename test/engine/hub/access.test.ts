import { describe, expect, it } from 'vitest';
import { COMMIT, smallRepository } from '../../support/hub-models.js';
import { failureOf, ID, startTestHub, TOKEN } from './test-hub.js';

const token = { value: TOKEN, source: 'HF_TOKEN' };
const stranger = { value: 'hf_other', source: '/home/me/.cache/huggingface/token' };

describe('what the hub refuses', () => {
  it.each([
    [
      'private',
      null,
      /no such model at http:\S+ for this user \(status 401\); if it is private, set HF_TOKEN$/,
    ],
    ['private', stranger, /no such model at http:\S+$/],
    [
      'gated',
      null,
      /access is restricted; accept its conditions at http:\S+\/octavo\/small and set HF_TOKEN .* \(no token is set\)$/,
    ],
    ['gated', stranger, /access is restricted.*\(that of \/home\/me\/\S+\/token has no access\)$/],
  ] as const)('a %s model to %j', async (kind, given, reason) => {
    const test = await startTestHub({ ...smallRepository(), only: { token: TOKEN, kind } });
    const failure = await failureOf(test.fetch({ token: given }));
    expect(failure.kind).toMatch(/^hub_(access_denied|model_not_found)$/);
    expect(failure.message).toMatch(reason);
    expect(failure.message).not.toContain('hf_');
    // It is not asked again: the answer will not change.
    expect(test.waits).toEqual([]);
    await test.fetch({ token });
  });

  it('a token that it does not know: whose, not which', async () => {
    const test = await startTestHub();
    const expired = { value: 'hf_expired', source: 'HF_TOKEN' };
    const { kind, message } = await failureOf(test.fetch({ token: expired }));
    expect(kind).toBe('hub_access_denied');
    expect(message).toMatch(
      /does not know the token of HF_TOKEN \(status 401: Invalid credentials/,
    );
    expect(message).not.toContain('hf_expired');
  });

  it('everything, for a reason of its own: 403', async () => {
    const test = await startTestHub();
    test.hub.break(/HEAD/, (response) => {
      response.writeHead(403, { 'x-error-message': 'Access to this resource is disabled.' }).end();
    });
    const { kind, message } = await failureOf(test.fetch());
    expect(kind).toBe('hub_access_denied');
    expect(message).toMatch(
      /gives no access without a token \(status 403: Access to this resource/,
    );
  });

  it('a model that is not there', async () => {
    const test = await startTestHub();
    const id = { repo: 'octavo/absent', revision: 'main' };
    const { message } = await failureOf(test.fetch({}, {}, id));
    expect(message).toMatch(/^octavo\/absent: no such model .* \(status 401\)/);
    const { kind } = await failureOf(test.fetch({ token }, {}, id));
    expect(kind).toBe('hub_model_not_found');
  });

  it('a revision that is not there', async () => {
    const test = await startTestHub();
    const { kind, message } = await failureOf(test.fetch({}, {}, { ...ID, revision: 'v9' }));
    expect(kind).toBe('hub_model_not_found');
    expect(message).toMatch(/no revision v9 at \S+; a branch, a tag or a commit is allowed/);
  });

  it('a file that is listed and not there', async () => {
    const test = await startTestHub();
    test.hub.break(/HEAD.*onnx_data/, (response) => {
      response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end();
    });
    const { kind, message } = await failureOf(test.fetch());
    expect(kind).toBe('hub_model_not_found');
    expect(message).toMatch(/no file http:\S+\/onnx\/model\.onnx_data$/);
  });

  it('a number format that the repository does not have, and what it has', async () => {
    const test = await startTestHub();
    const { kind, message } = await failureOf(test.fetch({}, { dtype: 'fp16' }));
    expect(kind).toBe('model_file_missing');
    expect(message).toMatch(
      /--dtype fp16; there are: fp32 \(onnx\/model\.onnx\), q4 \(onnx\/model_q4/,
    );
  });

  it('to be a hub at all', async () => {
    const test = await startTestHub();
    test.hub.break(/GET hub\/api/, (response) => void response.end('<html>Welcome</html>'));
    expect((await failureOf(test.fetch())).message).toMatch(
      /not that of a model hub; is HF_ENDPOINT right/,
    );
  });
});

describe('a token', () => {
  it('goes to the hub, and never to where it redirects', async () => {
    const test = await startTestHub({
      ...smallRepository(),
      only: { token: TOKEN, kind: 'gated' },
    });
    await test.fetch({ token });
    const { requests } = test.hub;
    const sent = (host: string): (string | null)[] =>
      requests.filter(({ url }) => url.startsWith(host)).map(({ authorization }) => authorization);
    expect(new Set(sent('hub'))).toEqual(new Set([`Bearer ${TOKEN}`]));
    expect(sent('cdn').length).toBe(2);
    expect(new Set(sent('cdn'))).toEqual(new Set([null]));
  });

  it('does not go to the host to which a mirror sends on', async () => {
    const original = await startTestHub();
    const mirror = await startTestHub();
    mirror.hub.break(/resolve/, (response) => {
      const { url } = mirror.hub.requests.at(-1) ?? { url: '' };
      response.writeHead(308, { location: `${original.hub.url}${url.slice(3)}` }).end();
    });
    await mirror.fetch({ token });
    expect(mirror.hub.seen(/resolve/).every(({ authorization }) => authorization !== null)).toBe(
      true,
    );
    expect(original.hub.requests.length).toBeGreaterThan(5);
    expect(original.hub.requests.every(({ authorization }) => authorization === null)).toBe(true);
  });
});

describe('redirects', () => {
  it('lead to a renamed model, with the token', async () => {
    const repository = smallRepository();
    const test = await startTestHub({
      ...repository,
      formerly: 'octavo/old',
      only: { token: TOKEN, kind: 'gated' },
    });
    const dir = await test.fetch({ token }, {}, { repo: 'octavo/old', revision: 'main' });
    expect(dir).toMatch(new RegExp(`models--octavo--old/snapshots/${COMMIT}$`));
  });

  it('without end are an error', async () => {
    const test = await startTestHub();
    test.hub.break(/HEAD/, (response) => {
      response.writeHead(302, { location: '/octavo/small/resolve/x/y' }).end();
    });
    expect((await failureOf(test.fetch())).message).toMatch(/more than 5 redirects/);
  });

  it('to no place on the web are an error', async () => {
    const test = await startTestHub();
    test.hub.break(/HEAD/, (response) => {
      response.writeHead(302, { location: 'file:///etc/passwd' }).end();
    });
    expect((await failureOf(test.fetch())).message).toMatch(/names no hash or size/);
  });

  it('are asked for anew when storage refuses an old link', async () => {
    const test = await startTestHub();
    test.hub.break(/GET cdn/, (response) => void response.writeHead(403).end('expired'), 1);
    await test.fetch();
    const links = test.hub.seen(/GET cdn/).map(({ url }) => url);
    expect(new Set(links).size).toBe(links.length);
  });
});

import { expect, test } from 'vitest';
import { benchServeOptions } from '../../../server/config/bench-options.js';

test('defaults', () => {
  expect(benchServeOptions({}, {})).toMatchObject({
    endpoint: { url: 'http://127.0.0.1:8000', model: null, kind: 'completions', apiKey: null },
    workload: { dataset: 'sharegpt', promptFormat: 'ids', turns: 1, seed: 0 },
    arrivals: { kind: 'closed', concurrency: 8 },
    count: 100,
    goodput: {},
  });
});

test('what follows from what', () => {
  const options = benchServeOptions(
    { url: 'https://host:1/base/v1/', turns: '3', requestRate: '2.5', goodput: 'ttft:500,itl:1.5' },
    { OCTAVO_API_KEY: 'a,b' },
  );
  expect(options).toMatchObject({
    endpoint: { url: 'https://host:1/base', kind: 'chat', apiKey: 'a' },
    workload: { promptFormat: 'text' },
    arrivals: { kind: 'poisson', perSecond: 2.5 },
    goodput: { ttft: 500, itl: 1.5 },
  });
});

test.each([
  [{ url: 'ftp://x' }, /^--url ftp:\/\/x: must be an address such as http/],
  [{ url: '' }, /^--url '': must be an address/],
  [{ url: 'host:8000' }, /^--url host:8000: must/],
  [{ dataset: 'c4' }, /^--dataset c4: must be one of sharegpt, alpaca, fixed$/],
  [{ concurrency: '0' }, /^--concurrency 0: must be an integer from 1 to/],
  [{ requestRate: '0' }, /^--request-rate 0: must be a number from 0.001 to/],
  [{ requestRate: '1', concurrency: '2' }, /^--concurrency with --request-rate: /],
  [{ arrival: 'fixed' }, /^--arrival fixed: needs --request-rate$/],
  [{ endpoint: 'chat', promptFormat: 'ids' }, /^--prompt-format ids: chat takes messages; must/],
  [{ endpoint: 'completions', turns: '2', promptFormat: 'ids' }, /^--prompt-format ids: --turns/],
  [{ goodput: 'ttft' }, /^--goodput ttft: must be limits in ms such as ttft:500,itl:100/],
  [{ goodput: 'speed:3' }, /^--goodput speed:3: must/],
  [{ extraBody: '[1]' }, /^--extra-body \[1\]: must be a JSON object$/],
  [{ extraBody: '{' }, /^--extra-body \{: must be a JSON object$/],
  [{ json: '' }, /^--json '': must be a text that is not empty$/],
])('%j is refused in one line', (flags, message) => {
  expect(() => benchServeOptions(flags, {})).toThrow(message);
});

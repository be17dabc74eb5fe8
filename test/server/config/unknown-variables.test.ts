import { expect, test } from 'vitest';
import { loadSettings, warnOfUnknownVariables } from '../../../server/config/load-settings.js';
import { listSettings } from '../../../server/config/setting-list.js';
import { runOctavo, startOctavo } from '../../support/octavo-process.js';

function warnings(environment: Record<string, string>): string[] {
  const lines: string[] = [];
  warnOfUnknownVariables(environment, (line) => lines.push(line));
  return lines;
}

test('a misspelled variable is named, with the one that was meant', () => {
  expect(warnings({ OCTAVO_MODLE: 'x', OCTAVO_PORT: '1', HOME: '/', OCTAVO_ZZZZZZ: '' })).toEqual([
    'the variable OCTAVO_MODLE is unknown and has no effect: did you mean OCTAVO_MODEL?',
    'the variable OCTAVO_ZZZZZZ is unknown and has no effect',
  ]);
});

test('no setting, no tool and no link of Kubernetes is unknown', () => {
  const kebab = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`);
  const all = listSettings('all').map(([name]) => [`OCTAVO_${kebab(name).toUpperCase()}`, '1']);
  expect(warnings(Object.fromEntries(all) as Record<string, string>)).toEqual([]);
  expect(
    warnings({
      OCTAVO_BENCH_PROFILE: 'x',
      OCTAVO_SOAK_SECONDS: '9',
      OCTAVO_SERVICE_HOST: '10.0.0.1',
      OCTAVO_SERVICE_PORT_HTTP: '8000',
      OCTAVO_PORT_8000_TCP_ADDR: '10.0.0.1',
      OCTAVO_REDIS_PORT: 'tcp://10.0.0.2:6379',
    }),
  ).toEqual([]);
});

test("OCTAVO_PORT as Kubernetes sets it is refused with the reason's name", () => {
  expect(() => loadSettings({}, { OCTAVO_PORT: 'tcp://10.0.0.1:8000' })).toThrow(
    /^OCTAVO_PORT tcp:\/\/10\.0\.0\.1:8000: must be an integer; Kubernetes sets it .*enableServiceLinks/,
  );
});

test('serve, generate and inspect say it, and go on', async () => {
  const odd = { OCTAVO_MODLE: 'x' };
  const named = /OCTAVO_MODLE is unknown and has no effect: did you mean OCTAVO_MODEL\?/;
  const generated = await runOctavo(['generate', 'Hello!', '--max-tokens', '1'], odd);
  expect(generated).toMatchObject({ code: 0, stderr: expect.stringMatching(named) as string });
  const inspected = await runOctavo(['inspect', 'models/octavo-tiny'], odd);
  expect(inspected).toMatchObject({ code: 0, stderr: expect.stringMatching(named) as string });
  const { output } = await startOctavo([], odd);
  expect(output).toMatch(named);
});

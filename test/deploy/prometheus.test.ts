import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { hasProgram } from '../support/debian-programs.js';
import { eventually } from '../support/eventually.js';
import { startOctavo } from '../support/octavo-process.js';
import { freePort } from '../support/redis-process.js';

const DEPLOY = fileURLToPath(new URL('../../deploy', import.meta.url));

interface Dashboard {
  readonly panels: readonly { title: string; targets: readonly { expr: string }[] }[];
}

const dashboard = JSON.parse(
  readFileSync(join(DEPLOY, 'grafana/dashboards/octavo.json'), 'utf8'),
) as Dashboard;

/** The shipped configuration, for the given target and once a second. */
async function startPrometheus(target: string): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'octavo-prometheus-'));
  const config = readFileSync(join(DEPLOY, 'prometheus/prometheus.yml'), 'utf8')
    .replace('octavo:8000', target)
    .replaceAll('interval: 5s', 'interval: 1s');
  expect(config).toContain(target);
  writeFileSync(join(directory, 'prometheus.yml'), config);
  const rules = readFileSync(join(DEPLOY, 'prometheus/alerts.yml'));
  writeFileSync(join(directory, 'alerts.yml'), rules);
  const url = `http://127.0.0.1:${await freePort()}`;
  const child: ChildProcess = spawn(
    'prometheus',
    [
      `--config.file=${directory}/prometheus.yml`,
      `--storage.tsdb.path=${directory}/data`,
      `--web.listen-address=${new URL(url).host}`,
    ],
    { stdio: 'ignore' },
  );
  onTestFinished(async () => {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill();
    await ended;
    rmSync(directory, { recursive: true, force: true });
  });
  return url;
}

async function api<Data>(url: string, path: string): Promise<Data | null> {
  const response = await fetch(`${url}/api/v1/${path}`).catch(() => null);
  if (!response?.ok) return null;
  return ((await response.json()) as { data: Data }).data;
}

/** Prometheus looks once a second. */
const PATIENCE = { seconds: 20, everyMs: 100 };

async function load(url: string): Promise<void> {
  const ask = async (prompt: string, maxTokens: number): Promise<void> => {
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt, max_tokens: maxTokens }),
    });
    await response.arrayBuffer();
  };
  await Promise.all(['Once upon a time', 'Hello', 'Count from 1'].map((p, i) => ask(p, 20 + i)));
}

type Targets = { activeTargets: { health: string }[] };
type Rules = { groups: { rules: { name: string; health: string }[] }[] };
type Result = { result: { value: [number, string] }[] };

describe.skipIf(!hasProgram('prometheus'))("Debian's Prometheus with the shipped files", () => {
  it('scrapes Octavo, evaluates the alerts, and has data for every panel', {
    timeout: 60_000,
  }, async () => {
    const octavo = await startOctavo();
    const prometheus = await startPrometheus(new URL(octavo.url).host);
    await load(octavo.url);
    await eventually(
      async () => {
        const targets = await api<Targets>(prometheus, 'targets');
        return targets?.activeTargets.map(({ health }) => health).join() === 'up';
      },
      'the target is up',
      PATIENCE,
    );
    await eventually(
      async () => {
        const rules = await api<Rules>(prometheus, 'rules');
        const healths = rules?.groups.flatMap((group) => group.rules.map(({ health }) => health));
        return healths?.length === 5 && healths.every((health) => health === 'ok');
      },
      'all alerts were evaluated',
      PATIENCE,
    );
    expect(dashboard.panels.length).toBeGreaterThanOrEqual(14);
    const silent = new Set(dashboard.panels.flatMap(({ targets }) => targets.map((t) => t.expr)));
    await eventually(
      async () => {
        // Rates need growth between two scrapes.
        await load(octavo.url);
        for (const expr of silent) {
          const query = expr
            .replaceAll('$__rate_interval', '30s')
            .replaceAll('$model', 'octavo-tiny');
          const data = await api<Result>(prometheus, `query?query=${encodeURIComponent(query)}`);
          if (data?.result.some(({ value }) => Number.isFinite(Number(value[1])))) {
            silent.delete(expr);
          }
        }
        return silent.size === 0;
      },
      `data for ${[...silent].join('\n')}`,
      PATIENCE,
    );
  });
});

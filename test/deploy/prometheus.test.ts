import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../../bench/lib/free-port.js';
import { hasProgram } from '../support/debian-programs.js';
import { eventually } from '../support/eventually.js';
import { startOctavo } from '../support/octavo-process.js';

const DEPLOY = fileURLToPath(new URL('../../deploy', import.meta.url));

interface Dashboard {
  readonly panels: readonly Panel[];
}

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly description?: string;
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  /** None in a row. */
  readonly targets?: readonly { readonly expr: string }[];
}

const dashboard = JSON.parse(
  readFileSync(join(DEPLOY, 'grafana/dashboards/octavo.json'), 'utf8'),
) as Dashboard;

const panels = dashboard.panels.filter(({ type }) => type !== 'row');

const alerts = [
  ...readFileSync(join(DEPLOY, 'prometheus/alerts.yml'), 'utf8').matchAll(/- alert: (\w+)/g),
].map(([, name]) => name ?? '');

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
const PATIENCE = { everyMs: 100 };

async function load(url: string): Promise<void> {
  const ask = async (prompt: string, maxTokens: number): Promise<void> => {
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt, max_tokens: maxTokens }),
    });
    await response.arrayBuffer();
  };
  await ask('never', -1);
  // These take the pages of each other, and come back from the tier.
  const long = ['owl', 'fox', 'bee'].map((name) => `The ${name} and the school. `.repeat(30));
  await Promise.all(['Once upon a time', 'Hello', 'Count from 1'].map((p, i) => ask(p, 20 + i)));
  for (const prompt of long) await ask(prompt, 2);
}

type Targets = { activeTargets: { health: string }[] };
type Rules = { groups: { rules: { name: string; health: string }[] }[] };
type Result = { result: { value: [number, string] }[] };

describe.skipIf(!hasProgram('prometheus'))("Debian's Prometheus with the shipped files", () => {
  it('scrapes Octavo, evaluates the alerts, and has data for every panel', async () => {
    // With a tier, so that the panels of tiers have data. A cache of a prompt or two soon uses it.
    const tiny = ['--kv-cache-memory', '720KiB', '--max-model-len', '256', '--threads', '1'];
    const octavo = await startOctavo([...tiny, '--kv-host-memory', '64MiB']);
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
        return healths?.length === alerts.length && healths.every((health) => health === 'ok');
      },
      'all alerts were evaluated',
      PATIENCE,
    );
    const silent = new Set(panels.flatMap(({ targets }) => targets?.map((t) => t.expr) ?? []));
    expect(silent.size).toBeGreaterThan(40);
    await eventually(
      async () => {
        // Rates need growth between two scrapes.
        await load(octavo.url);
        for (const expr of silent) {
          const query = expr
            .replaceAll('$__rate_interval', '30s')
            .replaceAll('$model', 'octavo-tiny')
            .replaceAll('$instance', '.*');
          const data = await api<Result>(prometheus, `query?query=${encodeURIComponent(query)}`);
          if (data?.result.some(({ value }) => Number.isFinite(Number(value[1])))) {
            silent.delete(expr);
          }
        }
        return silent.size === 0;
      },
      'every panel has data',
      PATIENCE,
    ).catch(() => undefined);
    expect([...silent]).toEqual([]);
  });
});

describe.skipIf(!hasProgram('promtool'))('the alert rules', () => {
  it('fire when they should, and not on a healthy server', () => {
    const rules = fileURLToPath(new URL('alerts.test.yml', import.meta.url));
    const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', rules], {
      encoding: 'utf8',
    });
    expect({ status, stderr, stdout }).toMatchObject({ status: 0, stderr: '' });
  });

  it('are tested, each of them', () => {
    const tests = readFileSync(new URL('alerts.test.yml', import.meta.url), 'utf8');
    expect(alerts.length).toBeGreaterThan(10);
    for (const alert of alerts) expect(tests).toMatch(new RegExp(`alertname(: |=")${alert}\\b`));
  });
});

describe("Grafana's dashboard", () => {
  it('has rows, and panels that say what they show, in what unit, without overlap', () => {
    const rows = dashboard.panels.filter(({ type }) => type === 'row').map(({ title }) => title);
    expect(rows).toHaveLength(6);
    for (const { title, description, fieldConfig } of panels) {
      // Grafana's "counts per second" (cps) says nothing about what is counted.
      expect({ title, description, unit: fieldConfig?.defaults.unit }).toEqual({
        title,
        description: expect.stringMatching(/\.$/) as string,
        unit: expect.not.stringMatching(/^cps$/) as string,
      });
    }
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
  });

  it('asks for the chosen models and servers only', () => {
    for (const { targets = [] } of panels) {
      for (const { expr } of targets) {
        const selectors = expr.match(/\{[^}]*\}/g) ?? [];
        expect(selectors.length).toBeGreaterThan(0);
        for (const selector of selectors) {
          expect(selector).toContain('model_name=~"$model", instance=~"$instance"');
        }
      }
    }
  });
});

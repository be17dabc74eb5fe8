import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { pythonEnvironment } from '../../bench/replicas/python-environment.js';
import { loadSettings, warnOfUnknownVariables } from '../../server/config/load-settings.js';
import { OPERATIONS } from '../../server/openapi/operations.js';

const DIRECTORY = fileURLToPath(new URL('../../deploy/kubernetes/', import.meta.url));
/** Of Kubernetes' API; the oldest that is still maintained, about. */
const VERSION = '1.35';

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}

interface Container {
  readonly image: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly readinessProbe: Probe;
  readonly livenessProbe: Probe;
  readonly startupProbe?: Probe;
  readonly lifecycle: { readonly preStop: { readonly exec: { readonly command: string[] } } };
  readonly resources: { readonly limits: { readonly memory: string } };
  readonly securityContext: Record<string, unknown>;
  readonly volumeMounts: readonly { readonly name: string }[];
}

type Labels = Readonly<Record<string, string>>;

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly replicas: number;
    readonly minReplicas: number;
    readonly scaleTargetRef: { readonly kind: string; readonly name: string };
    readonly metrics: readonly { readonly pods: { readonly metric: { readonly name: string } } }[];
    readonly selector: Labels & { readonly matchLabels: Labels };
    readonly ports: readonly { readonly targetPort: string }[];
    readonly template: {
      readonly metadata: { readonly labels: Labels };
      readonly spec: {
        readonly enableServiceLinks: boolean;
        readonly serviceAccountName?: string;
        readonly terminationGracePeriodSeconds: number;
        readonly containers: readonly [Container];
        readonly volumes: readonly { readonly name: string }[];
      };
    };
  };
}

const read = (file: string): string => readFileSync(DIRECTORY + file, 'utf8');
const kustomization = parse(read('kustomization.yaml')) as {
  readonly resources: readonly string[];
  readonly images: readonly { readonly name: string }[];
};
const manifests = kustomization.resources.flatMap((file) =>
  parseAllDocuments(read(file)).map((document) => document.toJS() as Manifest),
);
const of = (kind: string): Manifest[] => manifests.filter((manifest) => manifest.kind === kind);
const named = (kind: string, name: string): Manifest => {
  const found = of(kind).find(({ metadata }) => metadata.name === name);
  if (!found) throw new Error(`there is no ${kind} ${name}`);
  return found;
};
const octavo = named('Deployment', 'octavo');
const [container] = octavo.spec.template.spec.containers;

describe('deploy/kubernetes', () => {
  it('lists all of its files', () => {
    const files = readdirSync(DIRECTORY).filter((file) => file !== 'kustomization.yaml');
    expect([...kustomization.resources].sort()).toEqual(files.sort());
  });

  it('fits the schemas of Kubernetes, without a field that they do not know', async ({ skip }) => {
    const { python, absent } = await pythonEnvironment();
    skip(absent !== undefined, absent);
    const validate = (...files: string[]) =>
      promisify(execFile)(python, [
        '-m',
        'kubernetes_validate',
        '--strict',
        '--kubernetes-version',
        VERSION,
        ...files,
      ]);
    const { stdout } = await validate(...kustomization.resources.map((file) => DIRECTORY + file));
    // A kind without a schema is only warned of.
    expect(stdout.match(/ passed for resource /g)).toHaveLength(manifests.length);
  }, 2_000_000);

  it('names the images that can be replaced', () => {
    const images = of('Deployment').map(({ spec }) => spec.template.spec.containers[0].image);
    expect(images.sort()).toEqual(kustomization.images.map(({ name }) => name).sort());
  });

  it('selects by labels that pods have, and ports that they name', () => {
    const pods = of('Deployment').map(({ spec }) => spec.template);
    const match = (labels: Labels) =>
      pods.filter(({ metadata }) =>
        Object.entries(labels).every(([key, value]) => metadata.labels[key] === value),
      );
    for (const { spec } of [...of('Deployment'), ...of('PodDisruptionBudget')]) {
      expect(match(spec.selector.matchLabels)).toHaveLength(1);
    }
    for (const { spec } of of('Service')) {
      const [pod] = match(spec.selector);
      const ports = pod.spec.containers[0].ports.map(({ name }) => name);
      for (const { targetPort } of spec.ports) expect(ports).toContain(targetPort);
    }
    const router = named('Deployment', 'octavo-router').spec.template.spec;
    const { args } = router.containers[0];
    const [selector] = args.slice(args.indexOf('--selector') + 1);
    const [key, value] = selector.split('=');
    expect(octavo.spec.template.metadata.labels[key]).toBe(value);
    for (const kind of ['ServiceAccount', 'Role', 'RoleBinding']) {
      named(kind, router.serviceAccountName ?? '');
    }
  });

  it('probes routes that there are, and restarts no replica that drains', () => {
    const { startupProbe, readinessProbe, livenessProbe } = container;
    const path = (probe?: Probe): string => `GET ${probe?.httpGet.path}`;
    for (const probe of [startupProbe, readinessProbe, livenessProbe]) {
      expect(OPERATIONS).toHaveProperty([path(probe)]);
    }
    expect(path(readinessProbe)).toBe('GET /health');
    expect(path(livenessProbe)).not.toBe('GET /health');
  });

  it('sets flags and variables that there are', () => {
    const environment = Object.fromEntries(
      container.env.map(({ name, value = 'from the pod' }) => [name, value]),
    );
    const lines: string[] = [];
    warnOfUnknownVariables(environment, (line) => lines.push(line));
    expect(lines).toEqual([]);
    expect(loadSettings({}, environment).shutdownTimeout).toBe(60);
    const flags = container.args.map((arg) => /^--([a-z-]+)=/.exec(arg)?.[1] ?? arg);
    expect(flags).toEqual(['kv-events-endpoint', 'kv-events-replay-endpoint', 'kv-events-topic']);
    // A service called octavo would set OCTAVO_PORT.
    expect(octavo.spec.template.spec.enableServiceLinks).toBe(false);
  });

  it('gives replicas the time to finish what runs', () => {
    const { terminationGracePeriodSeconds } = octavo.spec.template.spec;
    const [, wait] = /(\d+)\)$/.exec(container.lifecycle.preStop.exec.command.at(-1) ?? '') ?? [];
    const timeout = Number(container.env.find(({ name }) => /SHUTDOWN/.test(name))?.value);
    expect(terminationGracePeriodSeconds).toBeGreaterThan(timeout + Number(wait) / 1000);
  });

  it('scales by a metric that the server has', () => {
    const { spec } = named('HorizontalPodAutoscaler', 'octavo');
    expect(spec.scaleTargetRef).toMatchObject({ kind: 'Deployment', name: 'octavo' });
    expect(spec.minReplicas).toBe(octavo.spec.replicas);
    const { name } = spec.metrics[0].pods.metric;
    // Kubernetes' names of metrics have no colon; the adapter's rule says what it stands for.
    expect(name).toBe('vllm_num_requests_waiting');
    expect(read('autoscaler.yaml')).toContain("'vllm:num_requests_waiting{");
  });

  it('runs without rights, on a file system that cannot be written', () => {
    for (const { spec } of of('Deployment')) {
      const [{ securityContext, volumeMounts }] = spec.template.spec.containers;
      expect(securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      const volumes = spec.template.spec.volumes.map(({ name }) => name);
      expect(volumeMounts.map(({ name }) => name).sort()).toEqual(volumes.sort());
    }
  });
});

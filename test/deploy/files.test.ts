import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DockerfileParser } from 'dockerfile-ast';
import { validate } from 'dockerfile-utils';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { warnOfUnknownVariables } from '../../server/config/load-settings.js';
import { hasProgram } from '../support/debian-programs.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const dockerfile = readFileSync(`${ROOT}/Dockerfile`, 'utf8');

describe('Dockerfile', () => {
  it('has nothing that a linter finds', () => {
    expect(validate(dockerfile).map(({ message }) => message)).toEqual([]);
    expect(validate(dockerfile.replace('USER 1000', 'USERS 1000'))).not.toEqual([]);
  });

  it('has all that the build compiles', () => {
    const build = readFileSync(`${ROOT}/tsconfig.build.json`, 'utf8');
    const { include } = JSON.parse(build) as { include: string[] };
    const ignored = readFileSync(`${ROOT}/.dockerignore`, 'utf8').split('\n');
    for (const folder of include) {
      expect(dockerfile).toContain(`COPY ${folder} ./${folder}\n`);
      expect(ignored).toContain(`!${folder}`);
    }
  });

  it('finds every file that it copies in the context', () => {
    const ignored = readFileSync(`${ROOT}/.dockerignore`, 'utf8').split('\n');
    for (const instruction of DockerfileParser.parse(dockerfile).getInstructions()) {
      const words = instruction.getArgumentsContent()?.split(/\s+/) ?? [];
      if (instruction.getInstruction() !== 'COPY' || words[0]?.startsWith('/')) continue;
      for (const source of words.slice(0, -1)) {
        if (!existsSync(join(ROOT, source))) throw new Error(`${source} is not there`);
        expect(ignored).toContain(`!${source}`);
      }
    }
  });

  it("keeps of node_modules what serving needs on the image's platform", () => {
    const modules = join(mkdtempSync(join(tmpdir(), 'octavo-image-')), 'node_modules');
    onTestFinished(() => rmSync(join(modules, '..'), { recursive: true }));
    const binaries = 'onnxruntime-node/bin/napi-v6';
    const mine = `${binaries}/${process.platform}/${process.arch}/binding.node`;
    const ofZeromq = `zeromq/build/${process.platform}/${process.arch}/node/addon.node`;
    const kept = [
      mine,
      ofZeromq,
      'zeromq/build/manifest.json',
      'a/index.js',
      'a/LICENSE.md',
      'b/sourcemap.js',
      'b/node_modules/c/d.js',
    ];
    const gone = [
      `${binaries}/${process.platform}/other/binding.node`,
      `${binaries}/beos/${process.arch}/binding.node`,
      `zeromq/build/beos/${process.arch}/node/addon.node`,
      'a/index.js.map',
      'a/index.d.ts',
      'b/node_modules/c/index.d.cts',
    ];
    const write = (files: readonly string[]): void => {
      for (const file of files) {
        mkdirSync(dirname(join(modules, file)), { recursive: true });
        writeFileSync(join(modules, file), '');
      }
    };
    const prune = (): number | null =>
      spawnSync(process.execPath, ['deploy/keep-runtime.mjs', modules], { cwd: ROOT }).status;
    write([...kept, ...gone]);
    expect(prune()).toBe(0);
    const exists = (file: string): boolean => existsSync(join(modules, file));
    expect(kept.filter((file) => !exists(file))).toEqual([]);
    expect(gone.filter(exists)).toEqual([]);
    // A package in which this platform is missing is an error, not an empty image.
    rmSync(join(modules, dirname(mine)), { recursive: true });
    write([gone[1] ?? '']);
    expect(prune()).toBe(1);
    expect(exists(gone[1] ?? '')).toBe(true);
  });

  it('is pruned of files that the installed packages really have', () => {
    const platforms = readdirSync(`${ROOT}/node_modules/onnxruntime-node/bin/napi-v6`);
    expect(platforms).toEqual(expect.arrayContaining(['darwin', 'linux', 'win32']));
    expect(readdirSync(`${ROOT}/node_modules/zeromq/build`)).toEqual(
      expect.arrayContaining(['darwin', 'linux', 'win32']),
    );
  });

  it('runs as nobody special, says whether it is healthy, and keeps models in a volume', () => {
    const instructions = DockerfileParser.parse(dockerfile).getInstructions();
    const last = instructions.map((i) => i.getInstruction()).lastIndexOf('FROM');
    const shipped = instructions.slice(last);
    const argumentOf = (name: string): string | undefined =>
      shipped.find((i) => i.getInstruction() === name)?.getArgumentsContent() ?? undefined;
    // Kubernetes' runAsNonRoot takes numbers only.
    expect(argumentOf('USER')).toBe('1000');
    expect(argumentOf('HEALTHCHECK')).toContain('/health');
    expect(argumentOf('VOLUME')).toBe('["/models"]');
    expect(argumentOf('ENV')).toMatch(/HF_HOME=\/models\/.*/);
    expect(argumentOf('ENV')).toMatch(/OCTAVO_MODEL_CACHE_DIR=\/models\/.*/);
    expect(instructions.filter((i) => i.getInstruction() === 'FROM')).toHaveLength(2);
  });
});

describe.skipIf(!hasProgram('docker-compose'))('docker-compose.yml', () => {
  interface Service {
    readonly restart?: string;
    readonly mem_limit?: string;
    readonly cpus?: number;
    readonly logging?: { readonly options?: Record<string, string> };
    readonly environment?: Record<string, string>;
    readonly secrets?: readonly { readonly source: string }[];
    readonly volumes?: readonly string[];
    readonly command?: readonly string[];
    readonly networks?: Record<string, { readonly aliases?: readonly string[] }>;
    readonly depends_on?: Record<string, { readonly condition: string }>;
  }

  function services(...files: string[]): Record<string, Service> {
    const args = [...files.flatMap((file) => ['-f', file]), 'config'];
    const { status, stdout, stderr } = spawnSync('docker-compose', args, {
      cwd: ROOT,
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    return (parse(stdout) as { services: Record<string, Service> }).services;
  }

  it('is valid, and every file that it mounts is there', () => {
    const all = services('docker-compose.yml');
    expect(Object.keys(all).sort()).toEqual(['grafana', 'octavo', 'prometheus', 'redis']);
    const mounts = Object.values(all)
      .flatMap(({ volumes = [] }) => volumes)
      .map((volume) => /^(\/.*):.*:ro$/.exec(volume)?.[1])
      .filter((path) => path !== undefined);
    expect(mounts).toHaveLength(3);
    expect(mounts.filter((path) => !existsSync(path))).toEqual([]);
  });

  it('restarts what ends, and bounds memory, processors and logs', () => {
    const all = Object.entries(services('docker-compose.yml'));
    for (const [name, { restart, mem_limit, cpus, logging }] of all) {
      expect({ name, restart, mem_limit, cpus, log: logging?.options }).toEqual({
        name,
        restart: 'unless-stopped',
        mem_limit: expect.stringMatching(/^\d+[gm]$/) as string,
        cpus: expect.any(Number) as number,
        log: { 'max-size': '10m', 'max-file': '5' },
      });
    }
  });

  it('starts what depends on another when that is healthy', () => {
    const { octavo, grafana } = services('docker-compose.yml');
    expect(octavo?.depends_on?.['redis']?.condition).toBe('service_healthy');
    expect(grafana?.depends_on?.['prometheus']?.condition).toBe('service_healthy');
  });

  it('takes keys from a secret, with the file that says so', () => {
    const { octavo } = services('docker-compose.yml', 'deploy/compose.keys.yml');
    const [secret] = octavo?.secrets ?? [];
    expect(octavo?.environment?.['OCTAVO_API_KEY_FILE']).toBe(`/run/secrets/${secret?.source}`);
    expect(octavo?.environment?.['OCTAVO_API_KEY']).toBeUndefined();
  });

  it('has three replicas behind a router that knows all of them', () => {
    const all = services('deploy/compose.replicas.yml');
    const replicas = Object.keys(all).filter((name) => /^octavo-\d$/.test(name));
    expect(replicas).toHaveLength(3);
    const { router, prometheus } = all;
    expect(router?.command?.filter((word) => word.startsWith('http'))).toEqual(
      replicas.map((name) => `http://${name}:8000`),
    );
    expect(Object.keys(router?.depends_on ?? {})).toEqual(replicas);
    for (const [name, { restart, mem_limit, cpus, logging }] of Object.entries(all)) {
      const bounds = { restart, mem_limit, cpus, log: logging?.options?.['max-size'] };
      expect([name, Object.values(bounds).filter((bound) => bound === undefined)]).toEqual([
        name,
        [],
      ]);
    }
    expect(unknownIn(all['octavo-1']?.environment ?? {})).toEqual([]);
    // Prometheus asks for the name that all replicas have.
    const config = readFileSync(`${ROOT}/deploy/prometheus/replicas.yml`, 'utf8');
    expect(prometheus?.command).toContain('--config.file=/etc/prometheus/replicas.yml');
    const [name] = /names: \["(\w+)"\]/.exec(config)?.slice(1) ?? [];
    for (const replica of replicas) {
      expect(all[replica]?.networks?.['default']?.aliases).toEqual([name]);
    }
  });

  it('sets variables that there are', () => {
    const { octavo } = services('docker-compose.yml', 'deploy/compose.keys.yml');
    expect(unknownIn(octavo?.environment ?? {})).toEqual([]);
  });
});

function unknownIn(environment: Readonly<Record<string, string>>): string[] {
  const lines: string[] = [];
  warnOfUnknownVariables(environment, (line) => lines.push(line));
  return lines;
}

describe('octavo.service', () => {
  const unit = readFileSync(`${ROOT}/deploy/octavo.service`, 'utf8');
  const valuesOf = (key: string): string[] =>
    [...unit.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value]) => value ?? '');

  it('restarts a server that failed, not one with wrong settings, as a user with a number', () => {
    expect(valuesOf('Restart')).toEqual(['on-failure']);
    expect(valuesOf('RestartPreventExitStatus')).toEqual(['2']);
    expect(valuesOf('User')[0]).toMatch(/^\d+$/);
    expect(Number(valuesOf('TimeoutStopSec')[0])).toBeGreaterThan(30);
    expect(Number(valuesOf('LimitNOFILE')[0])).toBeGreaterThan(2 * 4096);
  });

  it('sets variables that there are', () => {
    const pairs = valuesOf('Environment').map((line) => line.split('='));
    const environment = Object.fromEntries(pairs) as Record<string, string>;
    expect(environment).toHaveProperty('OCTAVO_API_KEY_FILE');
    expect(unknownIn(environment)).toEqual([]);
  });
});

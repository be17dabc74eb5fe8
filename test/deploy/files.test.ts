import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DockerfileParser } from 'dockerfile-ast';
import { validate } from 'dockerfile-utils';
import { describe, expect, it } from 'vitest';
import { hasProgram } from '../support/debian-programs.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const dockerfile = readFileSync(`${ROOT}/Dockerfile`, 'utf8');

describe('Dockerfile', () => {
  it('has nothing that a linter finds', () => {
    expect(validate(dockerfile).map(({ message }) => message)).toEqual([]);
    expect(validate(dockerfile.replace('USER node', 'USERS node'))).not.toEqual([]);
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

  it('runs as nobody special, says whether it is healthy, and keeps models in a volume', () => {
    const instructions = DockerfileParser.parse(dockerfile).getInstructions();
    const last = instructions.map((i) => i.getInstruction()).lastIndexOf('FROM');
    const shipped = instructions.slice(last);
    const argumentOf = (name: string): string | undefined =>
      shipped.find((i) => i.getInstruction() === name)?.getArgumentsContent() ?? undefined;
    expect(argumentOf('USER')).toBe('node');
    expect(argumentOf('HEALTHCHECK')).toContain('/health');
    expect(argumentOf('VOLUME')).toBe('["/models"]');
    expect(argumentOf('ENV')).toMatch(/HF_HOME=\/models\/.*/);
    expect(argumentOf('ENV')).toMatch(/OCTAVO_MODEL_CACHE_DIR=\/models\/.*/);
    expect(instructions.filter((i) => i.getInstruction() === 'FROM')).toHaveLength(2);
  });
});

describe.skipIf(!hasProgram('docker-compose'))('docker-compose.yml', () => {
  it('is valid, and every file that it mounts is there', () => {
    const { status, stdout, stderr } = spawnSync(
      'docker-compose',
      ['-f', 'docker-compose.yml', 'config'],
      { cwd: ROOT, encoding: 'utf8' },
    );
    expect(stderr).toBe('');
    expect(status).toBe(0);
    for (const service of ['octavo', 'redis', 'prometheus', 'grafana']) {
      expect(stdout).toMatch(new RegExp(`^ {2}${service}:$`, 'm'));
    }
    const mounts = [...stdout.matchAll(/^ *- (\/\S+):\/\S+:ro$/gm)].map(([, path]) => path);
    expect(mounts).toHaveLength(3);
    expect(mounts.filter((path) => !existsSync(path ?? ''))).toEqual([]);
  });
});

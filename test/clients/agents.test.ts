import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { bytesOf, EOS } from '../support/byte-model.js';
import { type NpmPrograms, npmPrograms } from '../support/npm-programs.js';
import { ScriptedEngine } from '../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../support/test-server.js';
import { toolModel } from '../support/tool-model.js';

const MODEL = 'byte-model';

/** The run prints `PRINTED` only when the file was edited, and neither text has it as it is. */
const WRONG = "console.log('sum', 40 - 2);\n";
const RIGHT = "console.log('sum', 40 + 2);\n";
const PRINTED = 'sum 42';

interface Agent {
  readonly name: string;
  readonly arguments: readonly string[];
  /** Its calls, one a turn: read the file, edit it, run it. */
  readonly calls: (file: string) => readonly (readonly [name: string, given: object])[];
  /** Writes its configuration, and says what else it needs. */
  readonly configure: (home: string, folder: string, url: string) => Record<string, string>;
}

const PATCH = `apply_patch <<'EOF'
*** Begin Patch
*** Update File: sum.mjs
@@
-${WRONG.trim()}
+${RIGHT.trim()}
*** End Patch
EOF`;

const AGENTS: readonly Agent[] = [
  {
    name: 'claude',
    arguments: ['-p', 'Fix sum.mjs', '--model', MODEL, '--allowedTools', 'Bash,Edit,Read'],
    calls: (file) => [
      ['Read', { file_path: file }],
      ['Edit', { file_path: file, old_string: '40 - 2', new_string: '40 + 2' }],
      ['Bash', { command: 'node sum.mjs', description: 'Run it' }],
    ],
    configure: (_home, _folder, url) => ({
      ANTHROPIC_BASE_URL: url,
      ANTHROPIC_AUTH_TOKEN: 'none',
      ANTHROPIC_DEFAULT_HAIKU_MODEL: MODEL,
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    }),
  },
  {
    name: 'codex',
    arguments: ['exec', '--dangerously-bypass-approvals-and-sandbox', 'Fix sum.mjs'],
    calls: () => [
      ['exec_command', { cmd: 'cat sum.mjs' }],
      ['exec_command', { cmd: PATCH }],
      ['exec_command', { cmd: 'node sum.mjs' }],
    ],
    configure: (home, _folder, url) => {
      const codex = join(home, '.codex');
      mkdirSync(codex);
      writeFileSync(
        join(codex, 'config.toml'),
        `model = "${MODEL}"
model_provider = "octavo"
check_for_update_on_startup = false
[analytics]
enabled = false
[features]
apps = false
plugins = false
[model_providers.octavo]
name = "Octavo"
base_url = "${url}/v1"
wire_api = "responses"
`,
      );
      return { CODEX_HOME: codex };
    },
  },
  {
    name: 'opencode',
    arguments: ['run', '--model', `octavo/${MODEL}`, 'Fix sum.mjs'],
    calls: (file) => [
      ['read', { filePath: file }],
      ['edit', { filePath: file, oldString: '40 - 2', newString: '40 + 2' }],
      ['bash', { command: 'node sum.mjs', description: 'Run it' }],
    ],
    configure: (_home, folder, url) => {
      const options = { baseURL: `${url}/v1`, apiKey: 'none' };
      const models = { [MODEL]: { limit: { context: 200_000, output: 8_000 } } };
      const octavo = { npm: '@ai-sdk/openai-compatible', options, models };
      writeFileSync(
        join(folder, 'opencode.json'),
        JSON.stringify({
          autoupdate: false,
          share: 'disabled',
          small_model: `octavo/${MODEL}`,
          enabled_providers: ['octavo'],
          provider: { octavo },
        }),
      );
      return {
        OPENCODE_DISABLE_MODELS_FETCH: '1',
        OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
        // It installs types for plugins, which it can do without.
        npm_config_offline: 'true',
      };
    },
  },
];

let programs: NpmPrograms;
beforeAll(async () => {
  programs = await npmPrograms(new URL('agents.json', import.meta.url), '1.2 GB');
}, 2_000_000);

const folders: string[] = [];
const proxies: Server[] = [];
afterEach(async () => {
  for (const proxy of proxies.splice(0)) proxy.close();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  await stopTestServers();
});

/** Where agents would ask other servers: it notes their names, and connects nothing. */
async function startProxy(): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const proxy = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.writeHead(502).end();
  });
  proxy.on('connect', (request, socket) => {
    asked.push(request.url ?? '');
    socket.on('error', () => undefined).end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
  });
  await new Promise<void>((resolve) => void proxy.listen(0, '127.0.0.1', resolve));
  proxies.push(proxy);
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, asked };
}

/** Says the next call to a request with tools, by the results in it, and a text at the end. */
const modelOf = (calls: readonly (readonly [name: string, given: object])[]) =>
  new ScriptedEngine(
    ({ promptTokenIds }) => {
      const prompt = Buffer.from(promptTokenIds).toString();
      const call = calls[prompt.match(/<tool[ >]/g)?.length ?? 0];
      const isAgent = prompt.startsWith('<tools>');
      const thought = prompt.endsWith('<think>\n') ? ['</think>'] : [];
      const text =
        isAgent && call
          ? `<tool_call>\n${JSON.stringify({ name: call[0], arguments: call[1] })}\n</tool_call>`
          : 'All is well.';
      const pieces = [...thought, ...(text.match(/[^]{1,40}/g) ?? [])];
      return { steps: [...pieces.map(bytesOf), [EOS]], finish: 'stop' };
    },
    { maxModelLength: 400_000 },
  );

async function run(
  program: string,
  args: readonly string[],
  cwd: string,
  env: Record<string, string>,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const timer = setTimeout(() => void child.kill('SIGKILL'), 120_000);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  clearTimeout(timer);
  return { code, output };
}

test.for(AGENTS.map((agent) => [agent.name, agent] as const))(
  '%s reads, edits and runs a file, and asks no other server',
  async ([name, agent], { skip }) => {
    skip(programs.absent !== undefined, programs.absent);
    const scratch = mkdtempSync(join(tmpdir(), 'octavo-agent-'));
    folders.push(scratch);
    const [home, folder] = ['home', 'folder'].map((part) => join(scratch, part));
    for (const path of [home, folder]) mkdirSync(path);
    const file = join(folder, 'sum.mjs');
    writeFileSync(file, WRONG);
    const engine = modelOf(agent.calls(file));
    const { url, log } = await startTestServer(engine, {
      model: toolModel,
      settings: { reasoningParser: 'think' },
    });
    const proxy = await startProxy();
    const result = await run(join(programs.bin, name), agent.arguments, folder, {
      PATH: [dirname(process.execPath), '/usr/local/bin', '/usr/bin', '/bin'].join(delimiter),
      HOME: home,
      TMPDIR: scratch,
      HTTP_PROXY: proxy.url,
      HTTPS_PROXY: proxy.url,
      NO_PROXY: '127.0.0.1',
      ...agent.configure(home, folder, url),
    });
    expect(result.output).toContain('All is well.');
    expect(result.code).toBe(0);
    expect(readFileSync(file, 'utf8')).toBe(RIGHT);
    const prompts = engine.submitted.map(({ request }) =>
      Buffer.from(request.promptTokenIds).toString(),
    );
    const last = prompts.findLast((prompt) => prompt.startsWith('<tools>'));
    expect(last).toContain(PRINTED);
    const failed = log.filter(({ msg, status }) => msg === 'request' && status !== 200);
    expect(failed).toEqual([]);
    expect(proxy.asked).toEqual([]);
  },
);

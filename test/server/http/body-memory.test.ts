import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { BodyMemory } from '../../../server/http/body-memory.js';
import { bytesOf } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

test('the largest body ends when all are too much together, and what it had is free', () => {
  const memory = new BodyMemory(100);
  const ended: string[] = [];
  const open = (name: string) => memory.open(({ kind }) => void ended.push(`${name}: ${kind}`));
  const [small, large, late] = ['small', 'large', 'late'].map(open);
  small.add(10);
  large.add(80);
  late.add(10);
  expect(ended).toEqual([]);
  late.add(5);
  expect(ended).toEqual(['large: overloaded']);
  expect(memory.used).toBe(25);
  large.add(1000);
  large.close();
  expect(memory.used).toBe(25);
  small.close();
  small.close();
  expect(memory.used).toBe(15);
});

const SIZE = 2 ** 20;

/** Begins a body of the largest size, and sends it but for its last byte. */
async function begin(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  socket.write(
    'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n' +
      `Content-Length: ${SIZE}\r\n\r\n${' '.repeat(SIZE - 1)}`,
  );
  await new Promise((resolve) => socket.once('drain', resolve));
  return socket;
}

test('bodies that never end, over many connections: one is answered with 503, and others are served', async () => {
  const engine = new ScriptedEngine(() => ({ steps: [bytesOf('a')], finish: 'length' }));
  const server = await startTestServer(engine, { settings: { maxBodySize: SIZE } });
  const sockets = await Promise.all(Array.from({ length: 9 }, () => begin(server.port)));
  const answers = sockets.map(async (socket) => String((await once(socket, 'data'))[0]));
  const answer = await Promise.race(answers);
  expect(answer).toMatch(/^HTTP\/1\.1 503 /);
  expect(answer).toContain('have more than 8 MiB together, and this one has the most');
  const chat = await server.post('/v1/completions', { prompt: 'x' });
  expect(chat.status).toBe(200);
  for (const socket of sockets) socket.destroy();
});

// A model in your own process: no server, no network.
import { createEngine } from 'octavo';

const engine = await createEngine();

const messages = [{ role: 'user', content: 'What is the capital of France?' }];
for await (const { text } of engine.chat(messages, { temperature: 0 })) process.stdout.write(text);
process.stdout.write('\n');

// Several prompts are computed together.
const outputs = await engine.generate(['Once upon a time', 'The cat'], { maxTokens: 8, seed: 1 });
for (const { text, usage } of outputs) console.log(JSON.stringify(text), usage.completionTokens);

await engine.close();

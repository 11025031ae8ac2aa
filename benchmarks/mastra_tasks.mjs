// The side of Mastra in `bench_tasks`: its background tasks, in a LibSQL file, each with a tool
// that does next to nothing. Prints one line of JSON.
//
//     node mastra_tasks.mjs MODULES FOLDER begins COUNT        milliseconds to the tool, one by one:
//                                                     from `enqueue`, and from its return
//     node mastra_tasks.mjs MODULES FOLDER all COUNT AT_ONCE NAP_MS   seconds until all are over
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import process from 'node:process';

const [modules, folder, what, count, atOnce = '20', nap = '0'] = process.argv.slice(2);
const require = createRequire(join(resolve(modules), 'package.json'));
const { Mastra } = require('@mastra/core');
const { LibSQLStore } = require('@mastra/libsql');

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const mastra = new Mastra({
  storage: new LibSQLStore({ id: 'bench', url: `file:${join(folder, 'mastra.db')}` }),
  logger: false,
  backgroundTasks: {
    enabled: true,
    globalConcurrency: Number(atOnce),
    perAgentConcurrency: Number(atOnce),
  },
});
const manager = mastra.backgroundTaskManager;
await sleep(1_000); // It makes its tables and subscribes meanwhile.

function enqueue(number, execute, onComplete) {
  const payload = {
    runId: `run-${number}`,
    toolName: 'work',
    toolCallId: `call-${number}`,
    args: { number },
    agentId: 'bench',
  };
  return manager.enqueue(payload, { executor: { execute }, onComplete });
}

async function begins(tasks) {
  const asked = [];
  const acknowledged = [];
  for (let number = 0; number <= tasks; number += 1) {
    let entered, returned;
    const began = performance.now();
    await new Promise((over, failed) => {
      const execute = async () => {
        entered = performance.now();
        return number;
      };
      enqueue(number, execute, over).then(() => (returned = performance.now()), failed);
    });
    asked.push(entered - began);
    acknowledged.push(entered - returned);
  }
  return [asked.slice(1), acknowledged.slice(1)]; // The first ones warm up.
}

async function all(tasks) {
  const began = performance.now();
  let left = tasks;
  let allOver;
  const over = new Promise((done) => (allOver = done));
  const execute = async () => (Number(nap) ? sleep(Number(nap)) : undefined);
  const onComplete = () => (left -= 1) || allOver();
  for (let number = 0; number < tasks; number += 1) await enqueue(number, execute, onComplete);
  await over;
  return (performance.now() - began) / 1_000;
}

process.stdout.write(`${JSON.stringify(await { begins, all }[what](Number(count)))}\n`);
process.exit(0);

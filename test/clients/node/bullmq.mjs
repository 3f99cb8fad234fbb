// node bullmq.mjs ioredis|redis
//
// Producers and workers of BullMQ, whose queue is a few dozen Lua scripts, with keys that they do not declare: every
// job is done exactly once, with its own result.
import { FlowProducer, Queue, QueueEvents, Worker, createIORedisClient, createNodeRedisClient } from 'bullmq';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { host, must, play, port, problem } from './stage.mjs';

const [library] = process.argv.slice(2);

// A connection of the library, which is never made again when it is lost.
async function connect() {
  if (library === 'ioredis') {
    const c = new Redis({ host, port, lazyConnect: true, retryStrategy: null, maxRetriesPerRequest: null });
    c.on('error', (error) => problem('ioredis', error));
    await c.connect();
    return createIORedisClient(c);
  }
  const c = createClient({ socket: { host, port: Number(port), reconnectStrategy: false } });
  c.on('error', (error) => problem('node-redis', error));
  await c.connect();
  return createNodeRedisClient(c);
}

const perRound = 8;

async function jobs(p) {
  const name = p.key('queue').replaceAll(':', '-');
  const options = async () => ({ connection: await connect(), prefix: p.key('bull').replaceAll(':', '-') });
  const queue = new Queue(name, await options());
  const flows = new FlowProducer(await options());
  const events = new QueueEvents(name, await options());
  await events.waitUntilReady();

  const done = new Map(); // how often each job was taken up, by what it carries
  const work = async (job) => {
    const id = job.data.id;
    done.set(id, (done.get(id) ?? 0) + 1);
    await job.updateProgress(50);
    if (job.data.fails && job.attemptsMade < job.data.fails) throw new Error('once more');
    if (job.data.children) must(`results of the children of ${id}`, Object.values(await job.getChildrenValues()).sort(), job.data.children);
    return `done ${id}`;
  };
  const workers = await Promise.all([1, 2].map(async () => new Worker(name, work, { ...(await options()), concurrency: 4 })));
  for (const part of [queue, flows, events, ...workers]) part.on('error', (error) => problem('BullMQ', error));

  for (let n = 1; p.going; n++) {
    const keep = { removeOnComplete: { count: 50 } };
    const added = await queue.addBulk(Array.from({ length: perRound }, (_, i) => ({
      name: 'job',
      data: { id: `${n}.${i}`, fails: i === 3 ? 1 : 0 },
      opts: {
        ...keep,
        ...(i === 1 ? { delay: 30 } : {}),
        ...(i === 2 ? { priority: 5 } : {}),
        ...(i === 3 ? { attempts: 2, backoff: 10 } : {}),
        ...(i === 4 ? { lifo: true } : {}),
      },
    })));
    const children = [`done ${n}.c0`, `done ${n}.c1`];
    const flow = await flows.add({
      name: 'parent', queueName: name, data: { id: `${n}.p`, children }, opts: keep,
      children: [0, 1].map((i) => ({ name: 'child', queueName: name, data: { id: `${n}.c${i}` }, opts: { removeOnComplete: false } })),
    });
    if (n % 4 === 0) {
      await queue.pause();
      await queue.resume();
    }
    for (const job of [...added, flow.job]) must(`result of ${job.data.id}`, await job.waitUntilFinished(events, 40_000), `done ${job.data.id}`);
    for (const child of flow.children) await child.job.remove();
    for (const { data } of [...added, flow.job, ...flow.children.map((c) => c.job)]) {
      must(`times that ${data.id} was taken up`, done.get(data.id), 1 + (data.fails ?? 0));
    }
    done.clear();
    await p.round();
  }
  const counts = await queue.getJobCounts('wait', 'active', 'delayed', 'prioritized', 'failed', 'waiting-children', 'paused');
  for (const [state, count] of Object.entries(counts)) must(`jobs left in ${state}`, count, 0);
  for (const part of [...workers, events, flows, queue]) await part.close();
}

await play({ jobs });

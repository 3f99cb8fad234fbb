// node ioredis.mjs MODULE PROTOCOL
import { host, play, port, problem } from './stage.mjs';
import { scenarios } from './scenarios.mjs';

const [module, protocol] = process.argv.slice(2);
const { Redis } = await import(module);

const results = (pairs) => pairs?.map(([error, value]) => error ?? value) ?? null;
const subscribe = { SUBSCRIBE: 'subscribe', PSUBSCRIBE: 'psubscribe', SSUBSCRIBE: 'ssubscribe' };
const unsubscribe = { SUBSCRIBE: 'unsubscribe', PSUBSCRIBE: 'punsubscribe', SSUBSCRIBE: 'sunsubscribe' };

const library = {
  async open(more) {
    const options = { host, port, lazyConnect: true, retryStrategy: null, maxRetriesPerRequest: 0, ...more };
    if (protocol) options.protocol = Number(protocol); // version 6 on
    const c = new Redis(options);
    c.on('error', (error) => problem('ioredis', error));
    c.on('close', () => c.closing || problem('ioredis', new Error('the connection was closed')));
    await c.connect();
    return c;
  },
  close(c) {
    c.closing = true;
    return c.quit();
  },
  run: (c, args) => c.call(...args),
  pipeline: async (c, steps) => results(await c.pipeline(steps.map((s) => ['call', ...s.Args])).exec()),
  block: async (c, steps) => results(await c.multi(steps.map((s) => ['call', ...s.Args])).exec()),
  commit: async (c, commands) => results(await c.multi(commands.map((args) => ['call', ...args])).exec()),
  async subscribe(c, command, channel, heard) {
    c.on('message', (_, message) => heard(message));
    c.on('smessage', (_, message) => heard(message));
    c.on('pmessage', (_, __, message) => heard(message));
    await c[subscribe[command]](channel);
  },
  unsubscribe: (c, command, channel) => c[unsubscribe[command]](channel),
  script(c, source, keys, args) {
    if (!c.counted) c.defineCommand('counted', { numberOfKeys: keys.length, lua: source });
    return c.counted(...keys, ...args);
  },
  async scan(c, command, key) {
    const stream = command === 'SCAN' ? c.scanStream({ match: key, count: 400 }) : c[`${command.toLowerCase()}Stream`](key, { count: 100 });
    const elements = [];
    for await (const page of stream) elements.push(...page);
    return elements;
  },
};

// The same batches when the library makes pipelines of what is asked for in one turn of its loop.
async function together(p) {
  const c = await library.open({ enableAutoPipelining: true });
  for (let n = 1; p.going; n++) {
    const replies = await Promise.all(Array.from({ length: 50 }, () => c.incr(p.key('n'))));
    const want = Array.from({ length: 50 }, (_, i) => 50 * (n - 1) + i + 1);
    if (replies.join() !== want.join()) throw new Error(`INCR of one turn: ${replies}, want ${want}`);
    await p.round();
  }
  await library.close(c);
}

await play({ ...scenarios(library), together });

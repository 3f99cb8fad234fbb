// node node-redis.mjs MODULE PROTOCOL
import { createHash } from 'node:crypto';
import { host, must, play, port, problem } from './stage.mjs';
import { scenarios } from './scenarios.mjs';

const [module, protocol] = process.argv.slice(2);
const { createClient, WatchError } = await import(module);

const library = {
  async open(more) {
    const c = createClient({ RESP: Number(protocol), socket: { host, port: Number(port), reconnectStrategy: false }, ...more });
    c.on('error', (error) => problem('node-redis', error));
    c.on('end', () => c.closing || problem('node-redis', new Error('the connection was closed')));
    return c.connect();
  },
  close(c) {
    c.closing = true;
    return c.close();
  },
  run: (c, args) => c.sendCommand(args),
  // What is asked for in one turn is written at once.
  pipeline: (c, steps) => Promise.all(steps.map((s) => c.sendCommand(s.Args).catch((error) => error))),
  async block(c, steps) {
    const multi = c.multi();
    for (const s of steps) multi.addCommand(s.Args);
    try {
      return await multi.exec();
    } catch (error) {
      return error.replies ?? Promise.reject(error); // those of the others come with the first that failed
    }
  },
  async commit(c, commands) {
    const multi = c.multi();
    for (const args of commands) multi.addCommand(args);
    try {
      return await multi.exec();
    } catch (error) {
      if (error instanceof WatchError) return null;
      throw error;
    }
  },
  subscribe: (c, command, channel, heard) => c[{ SUBSCRIBE: 'subscribe', PSUBSCRIBE: 'pSubscribe', SSUBSCRIBE: 'sSubscribe' }[command]](channel, heard),
  unsubscribe: (c, command, channel) => c[{ SUBSCRIBE: 'unsubscribe', PSUBSCRIBE: 'pUnsubscribe', SSUBSCRIBE: 'sUnsubscribe' }[command]](channel),
  async script(c, source, keys, args) {
    const sha = createHash('sha1').update(source).digest('hex');
    try {
      return await c.evalSha(sha, { keys, arguments: args });
    } catch (error) {
      if (!error.message.startsWith('NOSCRIPT')) throw error;
      return c.eval(source, { keys, arguments: args });
    }
  },
  async scan(c, command, key) {
    const elements = [];
    switch (command) {
      case 'SCAN':
        for await (const page of c.scanIterator({ MATCH: key, COUNT: 400 })) elements.push(...page);
        break;
      case 'HSCAN':
        for await (const page of c.hScanIterator(key, { COUNT: 100 })) for (const { field, value } of page) elements.push(field, value);
        break;
      case 'SSCAN':
        for await (const page of c.sScanIterator(key, { COUNT: 100 })) elements.push(...page);
        break;
    }
    return elements;
  },
};

const stale = 10_000; // ms that an invalidation may take, on a loaded machine

// Reads through the client-side cache what another connection writes: a value never goes backwards, and the latest is
// there as soon as the invalidation is.
async function cache(p) {
  const writer = await library.open();
  const reader = await library.open({ clientSideCache: { ttl: 0, maxEntries: 0 } });
  for (let n = 1; p.going; n++) {
    const key = p.key(`k${n % 5}`);
    await writer.set(key, String(n));
    let got = 0;
    for (const began = Date.now(); got !== n; ) {
      const next = Number(await reader.get(key));
      if (next < got || next > n) throw new Error(`${key} is ${next}, after ${got}, and ${n} was written`);
      got = next;
      if (got !== n && Date.now() - began > stale) throw new Error(`${key} is still ${got} in the cache ${stale} ms after ${n} was written`);
      if (got !== n) await new Promise(setImmediate); // an invalidation is read when nothing else is to do
    }
    for (let i = 0; i < 5; i++) must(`${key} again`, await reader.get(key), n);
    await p.round();
  }
  const hits = reader.clientSideCache?.stats?.().hitCount;
  if (!hits) throw new Error(`no read was served by the cache: ${hits}`);
  await Promise.all([library.close(writer), library.close(reader)]);
}

await play({ ...scenarios(library), ...(protocol === '3' ? { cache } : {}) });

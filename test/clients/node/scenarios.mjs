// What ioredis and node-redis do alike. A library is an object:
//
//   open()                        a connection, which is never made again when it is lost
//   close(connection)
//   run(connection, args)         one command
//   pipeline(connection, steps)   the replies of commands sent at once, errors among them
//   block(connection, steps)      the same as a transaction
//   commit(connection, commands)  the replies of a transaction under WATCH, or null
//   subscribe(connection, command, channel, heard), unsubscribe(connection, command, channel)
//   script(connection, source, keys, args)   by the library's own means
//   scan(connection, command, key)           all elements, by the library's own iteration
import { check, features, must, text } from './stage.mjs';

export const scenarios = (library) => ({
  pipelines: batches(library, (c, steps) => library.pipeline(c, steps)),
  blocks: batches(library, (c, steps) => library.block(c, steps)),
  watch: (p) => watch(p, library),
  contended: (p) => contended(p, library),
  pubsub: (p) => pubsub(p, library),
  queue: (p) => queue(p, library),
  group: (p) => group(p, library),
  scripts: (p) => scripts(p, library),
  scans: (p) => scans(p, library),
});

function batches(library, send) {
  return async (p) => {
    const c = await library.open();
    for (let n = 1; p.going; n++) {
      const steps = await p.batch(n);
      check(n, steps, await send(c, steps));
      await p.round();
    }
    await library.close(c);
  };
}

// add adds one to a counter under WATCH, and says whether EXEC has done it.
async function add(library, c, key, want, between) {
  await library.run(c, ['WATCH', key]);
  const value = Number((await library.run(c, ['GET', key])) ?? 0);
  if (want >= 0) must(key, value, want);
  await between?.();
  const replies = await library.commit(c, [['SET', key, String(value + 1)], ['GET', key]]);
  if (replies !== null) must('EXEC', replies, ['OK', value + 1]);
  return replies !== null;
}

// An own key under WATCH: every EXEC succeeds unless a switch came in between, and none does when another connection
// has changed the key.
async function watch(p, library) {
  const [c, other] = [await library.open(), await library.open()];
  const key = p.key('own');
  for (let want = 0; p.going; await p.round()) {
    const moment = p.moment();
    if (await add(library, c, key, want)) want++;
    else if (!p.switched(moment)) throw new Error('EXEC answers null though nobody has changed the watched key');
    if (await add(library, c, key, want, () => library.run(other, ['INCR', key]))) {
      throw new Error('EXEC succeeds though another connection has changed the watched key');
    }
    want++;
  }
  await Promise.all([library.close(c), library.close(other)]);
}

// Three connections change one counter under WATCH: as often as EXEC said so, it has changed.
async function contended(p, library) {
  const connections = await Promise.all([1, 2, 3].map(() => library.open()));
  const key = p.key('shared');
  for (let done = 0; p.going; await p.round()) {
    const won = await Promise.all(connections.map(async (c) => {
      let n = 0;
      for (let i = 0; i < 4; i++) if (await add(library, c, key, -1)) n++;
      return n;
    }));
    done += won.reduce((a, b) => a + b);
    must('the counter, and the transactions that succeeded', await library.run(connections[0], ['GET', key]), done);
  }
  await Promise.all(connections.map((c) => library.close(c)));
}

// Subscribers of a channel and of a pattern get each message once and in order; PUBLISH answers how many there are.
async function pubsub(p, library) {
  const publisher = await library.open();
  const channel = p.key('channel');
  const subscriber = async (command, name) => {
    const s = { c: await library.open(), command, name, heard: [], wake: () => {} };
    await library.subscribe(s.c, command, name, (message) => {
      s.heard.push(message);
      s.wake();
    });
    return s;
  };
  const leave = async (s) => {
    await library.unsubscribe(s.c, s.command, s.name);
    await library.close(s.c);
    if (s.heard.length) throw new Error(`${s.command} has heard more than was said: ${s.heard}`);
  };
  const tell = async (command, message, to) => {
    must(`receivers of ${command} ${message}`, await library.run(publisher, [command, channel, message]), to.length);
    for (const s of to) {
      if (!s.heard.length) await new Promise((resolve) => (s.wake = resolve));
      must(`heard by ${s.command}`, s.heard.shift(), message);
    }
  };
  const all = [await subscriber('SUBSCRIBE', channel), await subscriber('PSUBSCRIBE', p.key('chan*'))];
  const sharded = features.Redis7 ? await subscriber('SSUBSCRIBE', channel) : null;
  for (let n = 1; p.going; n++) {
    await tell('PUBLISH', `m${n}`, all);
    if (sharded) await tell('SPUBLISH', `s${n}`, [sharded]);
    if (n % 8 === 0) {
      const guest = await subscriber('SUBSCRIBE', channel);
      await tell('PUBLISH', `g${n}`, [...all, guest]);
      await leave(guest);
    }
    await p.round();
  }
  for (const s of [...all, sharded]) if (s) await leave(s);
  await library.close(publisher);
}

// Consumers and producer of some queue: each item is taken exactly once.
async function once(p, consumers, put, take) {
  const owed = new Set();
  let [closed, empty] = [false, () => {}];
  const consume = async (i) => {
    while (!closed) {
      const item = await take(i);
      if (item === null) continue;
      if (!owed.delete(item)) throw new Error(`item ${item} was taken a second time, or never given`);
      if (owed.size === 0) empty();
    }
  };
  const produce = async () => {
    for (let n = 1; p.going; n++) {
      for (let i = 0; i < 1 + (n % 3); i++) {
        owed.add(`${n}.${i}`);
        await put(`${n}.${i}`);
      }
      if (owed.size > 0) await new Promise((resolve) => (empty = resolve));
      await p.round();
    }
    closed = true;
  };
  await Promise.all([produce(), ...Array.from({ length: consumers }, (_, i) => consume(i))]);
}

const wait = '1'; // seconds that a consumer blocks

async function queue(p, library) {
  const producer = await library.open();
  const consumers = await Promise.all([1, 2, 3].map(() => library.open()));
  const [list, work] = [p.key('list'), p.key('work')];
  await once(p, consumers.length, (item) => library.run(producer, ['RPUSH', list, item]), async (i) => {
    if (i < 2) return (await library.run(consumers[i], [i ? 'BLPOP' : 'BRPOP', p.key('none'), list, wait]))?.[1] ?? null;
    const item = await library.run(consumers[i], ['BRPOPLPUSH', list, work, wait]);
    if (item !== null) must(`LREM of ${item}`, await library.run(consumers[i], ['LREM', work, '1', item]), 1);
    return item;
  });
  must('keys that are left', await library.run(producer, ['EXISTS', list, work]), 0);
  await Promise.all([producer, ...consumers].map((c) => library.close(c)));
}

async function group(p, library) {
  const producer = await library.open();
  const consumers = await Promise.all([1, 2].map(() => library.open()));
  const key = p.key('stream');
  await library.run(producer, ['XGROUP', 'CREATE', key, 'g', '0', 'MKSTREAM']);
  const read = (i) => ['XREADGROUP', 'GROUP', 'g', `c${i}`, 'COUNT', '1', 'BLOCK', '1000', 'STREAMS', key, '>'];
  await once(p, consumers.length, (item) => library.run(producer, ['XADD', key, 'MAXLEN', '~', '100', '*', 'item', item]), async (i) => {
    const reply = await library.run(consumers[i], read(i));
    if (reply === null) return null;
    const [name, id, field, item] = text(reply).split(' '); // one stream with one entry of one field
    must('XREADGROUP', [name, field], [key, 'item']);
    must(`XACK of ${id}`, await library.run(consumers[i], ['XACK', key, 'g', id]), 1);
    return item;
  });
  must('pending entries', (await library.run(producer, ['XPENDING', key, 'g']))[0], 0);
  await Promise.all([producer, ...consumers].map((c) => library.close(c)));
}

const counted = `
local n = redis.call('INCR', KEYS[1])
redis.call('RPUSH', KEYS[2], n)
redis.call('LTRIM', KEYS[2], -20, -1)
return {n, redis.call('LINDEX', KEYS[2], -1), ARGV[1]}`;

async function scripts(p, library) {
  const c = await library.open();
  const sha = await library.run(c, ['SCRIPT', 'LOAD', "return redis.call('INCRBY', KEYS[1], ARGV[1])"]);
  for (let n = 1; p.going; n++) {
    must(`script ${n}`, await library.script(c, counted, [p.key('n'), p.key('log')], ['x']), [n, n, 'x']);
    must(`EVALSHA ${n} of a script that was loaded`, await library.run(c, ['EVALSHA', sha, '1', p.key('m'), '2']), 2 * n);
    await p.round();
  }
  await library.close(c);
}

async function scans(p, library) {
  const c = await library.open();
  const [keys, members] = [200, 600];
  const fill = [];
  for (let i = 0; i < keys; i++) fill.push({ Args: ['SET', p.key(`k${i}`), '1'] });
  for (let i = 0; i < members; i++) {
    fill.push({ Args: ['HSET', p.key('hash'), `f${i}`, `v${i}`] }, { Args: ['SADD', p.key('set'), `m${i}`] });
  }
  await library.pipeline(c, fill);
  for (let n = 0; p.going; n++) {
    await library.run(c, ['SET', p.key(`passing${n % 10}`), '1']);
    for (const [command, key, want] of [['SCAN', p.key('k*'), keys], ['HSCAN', p.key('hash'), 2 * members], ['SSCAN', p.key('set'), members]]) {
      must(`different elements of ${command}`, new Set(await library.scan(c, command, key)).size, want);
    }
    await library.run(c, ['DEL', p.key(`passing${(n + 5) % 10}`)]);
    await p.round();
  }
  await library.close(c);
}

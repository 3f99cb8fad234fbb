// The stage's end in a client's process: it says how many rounds are done, asks for batches, and hears of switches
// and of the end. One JSON object per line, on stdin and stdout.
import readline from 'node:readline';

export const [host, port] = process.env.CLIENT_ADDR.split(':');
export const features = JSON.parse(process.env.CLIENT_FEATURES);
const prefix = process.env.CLIENT_PREFIX;

let stopped = false;
let switches = 0; // odd while one is under way
const batches = []; // who waits for one, in order

const say = (message) => process.stdout.write(JSON.stringify(message) + '\n');

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const message = JSON.parse(line);
  if (message.stop) {
    stopped = true;
  } else if (message.switch) {
    switches++;
    say({ ack: true });
  } else {
    batches.shift()(message.batch);
  }
});

// Another problem than a reply that is wrong: the process ends, and the stage reports it.
export function problem(what, error) {
  say({ problem: `${what}: ${error?.stack ?? error}` });
  process.exitCode = 1;
  setTimeout(() => process.exit(1), 100); // once it is written
}

// Player is what one scenario sees.
class Player {
  constructor(name) {
    this.name = name;
    this.rounds = 0;
  }
  get going() {
    return !stopped;
  }
  key(name) {
    return `${prefix}${this.name}:${name}`;
  }
  // A switch at any time since then is the one excuse for an EXEC that answers null.
  moment() {
    return switches;
  }
  switched(moment) {
    return moment % 2 === 1 || moment !== switches;
  }
  // The n-th batch of commands, and what the replies must be: [{Args, Want}].
  batch(n) {
    say({ need: n, prefix: this.key('') });
    return new Promise((resolve) => batches.push(resolve));
  }
  // A round is done. Who is ahead of the others leaves them the machine for a moment.
  async round() {
    this.rounds++;
    const least = Math.min(...players.map((p) => p.rounds));
    if (least > reported) {
      reported = least;
      say({ rounds: least });
    }
    if (this.rounds > least + ahead) await new Promise((resolve) => setTimeout(resolve, rest));
  }
}

const players = [];
const ahead = 5; // rounds
const rest = 25; // ms
let reported = 0;

// Plays scenarios, an object of functions by name, all at once, until the stage has seen enough.
export async function play(scenarios) {
  process.on('unhandledRejection', (error) => problem('a rejection that nobody has waited for', error));
  const named = Object.entries(scenarios).filter(([name]) => name.match(process.env.CLIENT_SCENARIOS ?? ''));
  for (const [name] of named) players.push(new Player(name));
  const results = named.map(async ([name, scenario], i) => {
    try {
      await scenario(players[i]);
    } catch (error) {
      problem(`${name}, after ${players[i].rounds} rounds`, error);
    }
  });
  await Promise.all(results);
  setTimeout(() => process.exit(), 100);
}

// A reply as one line, as the stage's batches show it: elements separated by spaces, nested ones flat, maps by key,
// null as (nil), errors as their text.
export function text(reply) {
  if (reply === null || reply === undefined) return '(nil)';
  if (reply instanceof Error) return reply.message.replace(/^ERR /, '');
  if (Array.isArray(reply)) return reply.map(text).join(' ');
  if (reply instanceof Map) reply = Object.fromEntries(reply);
  if (typeof reply === 'object' && !Buffer.isBuffer(reply)) {
    return Object.keys(reply).sort().map((key) => `${key} ${text(reply[key])}`).join(' ');
  }
  return String(reply);
}

// Compares the replies of a batch with what they must be.
export function check(n, steps, replies) {
  if (replies?.length !== steps.length) throw new Error(`batch ${n}: ${text(replies)} for ${steps.length} commands`);
  steps.forEach((step, i) => must(`batch ${n}, ${step.Args.join(' ')}`, replies[i], step.Want));
}

// Compares one reply with what it must be.
export function must(what, reply, want) {
  if (text(reply) !== text(want)) throw new Error(`${what}: ${JSON.stringify(text(reply))}, want ${JSON.stringify(text(want))}`);
}

// What a dashboard needs to be tried on: two real servers with data, tandem between them, and clients at work. All of it is
// started here, on free ports and in a directory of its own, and ended by close().

import {spawn} from "node:child_process";
import {mkdtemp, rm, writeFile} from "node:fs/promises";
import {createServer} from "node:net";
import {tmpdir} from "node:os";
import path from "node:path";
import {fileURLToPath} from "node:url";
import {setTimeout as sleep} from "node:timers/promises";
import Redis from "ioredis";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const TANDEM = process.env.TANDEM_TEST_BINARY ?? path.join(root, "bin/tandem");

async function freePort() {
  const server = createServer();
  await new Promise(listening => server.listen(0, "127.0.0.1", listening));
  const {port} = server.address();
  await new Promise(closed => server.close(closed));
  return port;
}

// until waits for what must come about, by asking; what it was waiting for is in the error.
export async function until(what, ask, ms = 20_000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`waited ${ms} ms in vain: ${what}`);
    await sleep(20);
  }
}

// Whatever this process ends of, nothing that it has started is left.
const running = new Set();
process.once("exit", () => running.forEach(p => p.kill("SIGKILL")));

// A process that was started here, with its output for who wonders why it ended.
class Child {
  constructor(program, args) {
    this.output = "";
    // Tandem takes variables of its own name for settings.
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("TANDEM_")));
    this.process = spawn(program, args, {env, stdio: ["ignore", "pipe", "pipe"]});
    this.process.stdout.on("data", b => this.output += b);
    this.process.stderr.on("data", b => this.output += b);
    this.ended = new Promise(ended => this.process.once("exit", ended));
    this.process.once("error", e => this.output += e);
    running.add(this.process);
    this.process.once("exit", () => running.delete(this.process));
  }

  async end(signal) {
    this.process.kill(signal);
    await this.ended;
  }
}

export class Stage {
  // open starts two servers with so many keys on the source, and tandem with further lines of configuration. twoWay: the
  // target has a listener of its own.
  static async open({keys = 2000, settings = [], twoWay = false, token = ""} = {}) {
    const stage = new Stage();
    try {
      stage.dir = await mkdtemp(path.join(tmpdir(), "tandem-dashboard-"));
      stage.token = token;
      stage.settings = settings;
      stage.ports = {listen: await freePort(), admin: await freePort()};
      if (twoWay) {
        stage.ports.listenTarget = await freePort();
        stage.settings = [...settings, `listen_target: 127.0.0.1:${stage.ports.listenTarget}`];
      }
      await Promise.all(["source", "target"].map(side => stage.startServer(side)));
      await stage.populate(keys);
      await stage.startTandem();
    } catch (e) {
      await stage.close();
      throw e;
    }
    return stage;
  }

  constructor() {
    this.children = {};
    this.clients = [];
    this.ports = {};
  }

  get url() {
    return `http://127.0.0.1:${this.ports.admin}/`;
  }

  async startServer(side) {
    this.ports[side] ??= await freePort();
    this.children[side] = new Child("redis-server", ["--port", this.ports[side], "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
      "--maxmemory-policy", "noeviction", "--dir", this.dir]);
    this[side] = this.connect(this.ports[side]);
    await until(`${side} answers`, () => this[side].ping().catch(() => false));
  }

  connect(port, name) {
    const client = new Redis({port, host: "127.0.0.1", connectionName: name, lazyConnect: false, retryStrategy: n => Math.min(50 * n, 500), maxRetriesPerRequest: null});
    client.on("error", () => {}); // it connects again, and what was asked fails or waits
    this.clients.push(client);
    return client;
  }

  // populate is over before tandem starts, and so is its connection: else it would be one that writes past tandem.
  async populate(keys) {
    const value = "x".repeat(200), client = this.connect(this.ports.source);
    for (let from = 0; from < keys; from += 1000) {
      const pipe = client.pipeline();
      for (let i = from; i < Math.min(from + 1000, keys); i++) {
        switch (i % 4) {
          case 0: pipe.set(`user:${i}`, value); break;
          case 1: pipe.hset(`session:${i}`, {started: i, agent: value.slice(0, 60)}); break;
          case 2: pipe.rpush(`queue:${i}`, "a", "b", value); break;
          case 3: pipe.zadd(`scores:${i}`, i, "one", i + 1, "two"); break;
        }
      }
      await pipe.exec();
    }
    await client.quit();
  }

  async startTandem() {
    const lines = [`listen: 127.0.0.1:${this.ports.listen}`, "admin:", `  listen: 127.0.0.1:${this.ports.admin}`, ...(this.token ? [`  token: ${this.token}`] : []),
      `source: {url: "redis://127.0.0.1:${this.ports.source}"}`, `target: {url: "redis://127.0.0.1:${this.ports.target}"}`,
      `state_dir: ${path.join(this.dir, "state")}`, "start: manual", "tracking: \"off\"", ...this.settings];
    const file = path.join(this.dir, "tandem.yaml");
    await writeFile(file, lines.join("\n") + "\n", {mode: 0o600});
    const tandem = this.children.tandem = new Child(TANDEM, ["serve", "-c", file]);
    await until("tandem is ready", async () => {
      if (tandem.process.exitCode !== null) throw new Error(`tandem has ended:\n${tandem.output}`);
      return fetch(this.url + "readyz").then(r => r.ok, () => false);
    });
  }

  // status is what the admin API says, which the page must agree with.
  async status() {
    const r = await fetch(this.url + "api/v1/status", {headers: this.token ? {Authorization: "Bearer " + this.token} : {}});
    return r.json();
  }

  // work lets clients read and write through tandem until the function that it returns is called, which tells how many
  // commands were answered, and throws if one was answered with an error.
  work({applications = [["shop", 6], ["api", 4], ["worker", 2]], pause = 4} = {}) {
    let going = true, answered = 0;
    const turns = applications.flatMap(([name, n]) => Array.from({length: n}, async (_, i) => {
      const client = this.connect(this.ports.listen, name);
      for (let turn = 0; going; turn++) {
        const key = (turn * 7 + i * 131) % 2000;
        const pipe = client.pipeline();
        for (let k = 0; k < 8; k++) pipe.get(`user:${4 * ((key + k) % 500)}`);
        pipe.incr(`visits:${key % 50}`).set(`user:${4 * (key % 500)}`, `seen ${turn}`).hset(`session:${key}x`, "last", turn).lpush(`log:${i}`, turn).ltrim(`log:${i}`, 0, 20);
        if (turn % 9 === 0) pipe.eval("return redis.call('INCR', KEYS[1])", 1, `scripted:${i}`);
        if (turn % 5 === 0) pipe.multi().incr(`tx:${i}`).expire(`tx:${i}`, 500).exec();
        const answers = await pipe.exec();
        const failed = answers.find(([e]) => e);
        if (failed) throw failed[0];
        answered += answers.length;
        await sleep(pause);
      }
    }));
    const all = Promise.all(turns);
    all.catch(() => {}); // told when they are stopped
    return async () => {
      going = false;
      await all;
      return answered;
    };
  }

  async close() {
    for (const c of this.clients) c.disconnect();
    await this.children.tandem?.end("SIGTERM");
    await Promise.all(["source", "target"].map(side => this.children[side]?.end("SIGKILL")));
    if (this.dir) await rm(this.dir, {recursive: true, force: true});
  }
}

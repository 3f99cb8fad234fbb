// The browser that the dashboard is looked at with: the system's chromium, without a window.

import {mkdtemp, rm} from "node:fs/promises";
import {tmpdir} from "node:os";
import path from "node:path";
import {createRequire} from "node:module";
import {chromium} from "playwright-core";

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

export const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

// open starts a browser with a profile of its own. close() ends it.
export async function open({width = 1440, height = 1000, scheme = "light", scale = 1} = {}) {
  const profile = await mkdtemp(path.join(tmpdir(), "tandem-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: FLAGS, viewport: {width, height}, colorScheme: scheme, deviceScaleFactor: scale,
    acceptDownloads: true,
  });
  context.setDefaultTimeout(15_000);
  const page = context.pages()[0] ?? await context.newPage();
  // Whatever goes wrong inside the page is wrong: an error of a script, and what the policy forbids. And nobody but its own
  // server may be asked for anything.
  const troubles = [], foreign = [];
  page.on("pageerror", e => troubles.push(String(e)));
  page.on("console", m => { if (m.type() === "error" && !/Failed to load resource|net::ERR/.test(m.text())) troubles.push(m.text()); });
  context.on("request", r => { if (!/^(http:\/\/127\.0\.0\.1:|blob:|data:)/.test(r.url())) foreign.push(r.url()); });
  return {page, context, troubles, foreign, close: async () => {
    await context.close();
    await rm(profile, {recursive: true, force: true});
  }};
}

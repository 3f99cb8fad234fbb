// Takes the pictures of the documentation: a migration with clients at work, in each theme and at each width.
//   node pictures.mjs DIRECTORY [all]
// With "all" it takes those too that are only to be looked at while something is changed: whole pages, of each moment.

import path from "node:path";
import {mkdir} from "node:fs/promises";
import {setTimeout as sleep} from "node:timers/promises";
import {Stage, until} from "./stage.mjs";
import {open} from "./browser.mjs";

const [directory = "pictures", all] = process.argv.slice(2);
await mkdir(directory, {recursive: true});
const SHAPES = {
  light: {width: 1440, height: 960}, dark: {width: 1440, height: 960, scheme: "dark"}, narrow: {width: 390, height: 844, scale: 2},
  wall: {width: 2560, height: 1440, scheme: "dark"},
};
// Which are published.
const PUBLISHED = {"backfill-light": "dashboard-light.png", "reversed-dark": "dashboard-dark.png", "synced-narrow": "dashboard-narrow.png", "dialog-light": "dashboard-cutover.png"};
const DWELL_MS = 20_000; // what the charts show of each phase

const stage = await Stage.open({keys: 60_000, settings: ["backfill: {max_keys_per_s: 1500}", "cutover: {trial: {time: 10m, max_error_percent: 5}}"]});
const step = (name, body) => fetch(stage.url + "api/v1/" + name, {method: "POST", body: JSON.stringify(body ?? {})});

async function shoot(moment, before = async () => {}) {
  for (const [name, shape] of Object.entries(SHAPES)) {
    const published = PUBLISHED[`${moment}-${name}`];
    if (!published && !all) continue;
    const browser = await open(shape);
    const {page} = browser;
    await page.goto(stage.url);
    await page.locator("#chart-commands .value").filter({hasText: "/s"}).waitFor();
    await page.locator("#panel-events li").first().waitFor();
    await before(page);
    await sleep(1200); // one more message
    await page.screenshot({path: path.join(directory, published ?? `${moment}-${name}.png`)});
    if (all) await page.screenshot({path: path.join(directory, `${moment}-${name}-whole.png`), fullPage: true});
    if (browser.troubles.length) console.error(moment, name, browser.troubles);
    await browser.close();
  }
}

const stop = stage.work({pause: 12});
await sleep(DWELL_MS);
await shoot("passthrough");
await step("start");
await sleep(DWELL_MS);
await shoot("backfill");
await until("synced", async () => (await stage.status()).phase === "synced", 120_000);
await step("verify");
await until("verified", async () => (await stage.status()).verify.state === "done", 120_000);
await sleep(5000);
await shoot("synced");
await shoot("dialog", async page => {
  await page.locator("#step-cutover").click();
  await page.locator("#dialog[open]").waitFor();
});
await step("cutover");
await sleep(DWELL_MS);
await shoot("reversed");
await stop();
await stage.close();

// The dashboard, driven as a person does it, on real servers with clients at work. What the page shows is compared with what
// the servers and the admin API say, and what the test does to the servers must be seen on the page.

import assert from "node:assert/strict";
import {readFile} from "node:fs/promises";
import {after, before, describe, test} from "node:test";
import {Stage, until} from "./stage.mjs";
import {open, AXE} from "./browser.mjs";

const HOSTILE = "<img src=x onerror=\"document.title='owned'\">";

// serious are what axe finds on the page as it is, of what keeps people from using it.
async function serious(page) {
  await page.evaluate(await readFile(AXE, "utf8"));
  const {violations} = await page.evaluate(() => globalThis.axe.run(document, {resultTypes: ["violations"]}));
  return violations.filter(v => ["serious", "critical"].includes(v.impact))
    .flatMap(v => v.nodes.map(n => `${v.id}: ${n.target.join(" ")}: ${n.failureSummary.replace(/\s+/g, " ")}`));
}

const headline = (page, words) => page.locator("#headline").filter({hasText: words}).waitFor({timeout: 30_000});
const present = page => page.locator("#line [aria-current=step] .name").evaluate(e => e.firstChild.textContent);
const number = words => Number(words.replaceAll(",", ""));
// fact is a number of a panel, by its name.
const fact = (page, panel, name) => page.locator(`#panel-${panel} dt`, {hasText: name}).first().locator("xpath=../dd").textContent();

// step presses the button of a step and confirms it, after a look at the dialog.
async function step(page, name, look = async () => {}) {
  await page.locator("#step-" + name).click();
  await page.locator("#dialog[open]").waitFor();
  await look(page.locator("#dialog"));
  await page.locator("#dialog button[type=submit]").click();
}

// tabTo presses Tab until an element has the focus: who has no mouse must get there.
async function tabTo(page, selector) {
  for (let i = 0; i < 80; i++) {
    if (await page.locator(selector).evaluate(e => e === document.activeElement)) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`Tab does not lead to ${selector}`);
}

describe("a migration", () => {
  let stage, browser, page, stop;
  before(async () => {
    stage = await Stage.open({keys: 12_000, settings: ["backfill: {max_keys_per_s: 2500}"]});
    stop = stage.work({pause: 20});
    browser = await open();
    page = browser.page;
    await page.goto(stage.url);
  });
  after(async () => {
    await browser?.close();
    await stage?.close();
  });

  test("begins with a precheck and a start that says what it does", async () => {
    await headline(page, "has not started");
    assert.equal(await present(page), "passthrough");
    await step(page, "precheck");
    await page.locator("#panel-precheck .state").waitFor();
    assert.match(await page.locator("#panel-precheck").textContent(), /source scripts|as they should be/);
    await step(page, "start", async dialog => {
      const words = await dialog.textContent();
      for (const side of ["source", "target"]) assert.ok(words.includes(`127.0.0.1:${stage.ports[side]}`), words);
    });
    await headline(page, "Copying to the target");
  });

  test("shows its progress, and that it is paused", async () => {
    const shown = async () => parseFloat(await page.locator("#panel-backfill .big").textContent());
    const first = await until("a percentage", shown);
    await until("progress", async () => await shown() > first);
    await step(page, "pause");
    await headline(page, "paused");
    assert.equal((await stage.status()).backfill.state, "paused");
    await step(page, "throttle", dialog => dialog.locator("#speed-keys").fill("1800"));
    await page.locator("#outcome", {hasText: "At most 1.8k/s keys"}).waitFor();
    assert.equal((await stage.status()).throttle.keys_per_s, 1800);
    assert.equal((await stage.status()).throttle.bytes_per_s, null);
    await step(page, "resume");
    await headline(page, "Copying");
    assert.equal((await stage.status()).backfill.state, "running");
  });

  test("comes to be synced, and its numbers are the servers'", async () => {
    await headline(page, "Ready to cut over");
    assert.equal(await present(page), "synced");
    const s = await stage.status();
    assert.equal(s.phase, "synced");
    assert.equal(await page.locator("#flow-sessions").textContent(), `${s.sessions} connections`);
    assert.equal(number(await fact(page, "backfill", "keys copied")), s.backfill.keys_copied);
    const effects = number(await fact(page, "servers", "effects sent"));
    assert.ok(effects > 0 && effects <= (await stage.status()).effects.forwarded, `${effects} effects`);
    const groups = await page.locator("#panel-clients tbody tr").allTextContents();
    assert.deepEqual(groups.map(g => g.match(/shop|api|worker/)?.[0]), ["shop", "api", "worker"], groups.join("\n"));
    const drawn = await page.locator(".chart canvas").count();
    assert.equal(drawn, 6);
    for (const id of ["commands", "source", "target"]) {
      assert.match(await page.locator(`#chart-${id} .value`).textContent(), /^[\d.,]+ ?(k?\/s|µs|ms|s)$/, id);
    }
  });

  test("verifies, and a key that somebody changes on the target is seen, named, in the way, and repaired", async () => {
    await step(page, "verify");
    await page.locator("#panel-verify .state.good", {hasText: "No difference"}).waitFor();
    await stage.target.set(HOSTILE, "nobody wrote this through tandem");
    await step(page, "verify");
    await page.locator("#panel-verify .state.bad", {hasText: "1 key differs"}).waitFor();
    await page.locator("#differences td", {hasText: HOSTILE}).waitFor();
    await page.locator("#blockers code", {hasText: "verify_different"}).waitFor();
    await headline(page, "not time to cut over");
    await page.locator("#step-cutover").click();
    await page.locator("#dialog .force", {hasText: "verify_different"}).waitFor();
    await page.keyboard.press("Escape");
    assert.equal((await stage.status()).phase, "synced");
    await step(page, "verify", dialog => dialog.getByText("Repair what differs").click());
    await until("the repair", async () => await stage.target.exists(HOSTILE) === 0);
    await until("the end of that verify", async () => (await stage.status()).verify.state === "done");
    await step(page, "verify");
    await headline(page, "Ready to cut over");
    assert.doesNotMatch(await page.title(), /owned/);
  });

  test("shows at once that a server is gone, and that it is back", async () => {
    await stage.children.target.end("SIGKILL");
    await page.locator("#blockers code", {hasText: "secondary_down"}).waitFor();
    await page.locator(".server.target.down").waitFor();
    await page.locator("#step-cutover").click();
    await page.locator("#dialog button[type=submit]").click();
    await page.locator("#dialog .problems code", {hasText: "secondary_down"}).first().waitFor();
    await page.keyboard.press("Escape");
    await stage.startServer("target");
    await headline(page, "Ready to cut over");
    await page.locator("#blockers code", {hasText: "secondary_down"}).waitFor({state: "detached"});
  });

  test("is cut over with the keyboard alone, and the dialog says what will happen", async () => {
    await page.evaluate(() => document.activeElement?.blur());
    await tabTo(page, "#step-cutover");
    await page.keyboard.press("Enter");
    await page.locator("#dialog[open]").waitFor();
    const words = await page.locator("#dialog").textContent();
    assert.match(words, /held .*1 s at most, then go to the target 127\.0\.0\.1:\d+.*rollback loses nothing/s);
    assert.deepEqual(await serious(page), [], "the dialog");
    await tabTo(page, "#dialog button[type=submit]");
    await page.keyboard.press("Enter");
    await headline(page, "The target answers clients");
    await page.locator("#outcome", {hasText: "clients were held for"}).waitFor();
    assert.equal((await stage.status()).primary, "target");
    await page.locator(".server.target.primary", {hasText: "answers clients"}).waitFor();
    await page.locator("#panel-events .phase", {hasText: "reversed"}).waitFor();
  });

  test("is rolled back, cut over again and finished, which needs a tick", async () => {
    await step(page, "rollback", async dialog => assert.match(await dialog.textContent(), /go to the source .* again/s));
    await headline(page, "Ready to cut over");
    assert.equal((await stage.status()).primary, "source");
    await step(page, "cutover");
    await headline(page, "The target answers clients");
    await page.locator("#step-finish").click();
    await page.locator("#dialog button[type=submit]").click();
    assert.equal(await page.locator("#dialog[open]").count(), 1, "it was finished without the tick");
    assert.equal((await stage.status()).phase, "reversed");
    await page.locator("#dialog-tick").check();
    await page.locator("#dialog button[type=submit]").click();
    await headline(page, "Finished");
    assert.equal((await stage.status()).phase, "finished");
    assert.equal(await page.locator("#actions button").count(), 0);
    const [saved] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", {name: "Save as a page"}).click()]);
    assert.match(await readFile(await saved.path(), "utf8"), /<html/);
  });

  test("has cost no client an error, nothing was asked of others, and no script has failed", async () => {
    assert.ok(await stop() > 1000);
    assert.deepEqual(browser.foreign, []);
    assert.deepEqual(browser.troubles, []);
  });
});

test("clients on both servers are shown, at which address each is", async t => {
  const stage = await Stage.open({keys: 200, twoWay: true});
  t.after(() => stage.close());
  const browser = await open();
  t.after(() => browser.close());
  const {page} = browser;
  await page.goto(stage.url);
  await step(page, "start");
  await headline(page, "Clients write at both servers");
  assert.equal(await present(page), "two-way");
  assert.equal(await page.locator("#line li").count(), 4);
  await stage.connect(stage.ports.listen, "here").set("one", 1);
  await stage.connect(stage.ports.listenTarget, "there").set("two", 2);
  await page.locator("#panel-clients tr", {hasText: "there"}).filter({hasText: "listen_target"}).waitFor();
  await page.locator("#panel-clients tr", {hasText: "here"}).first().waitFor();
  assert.equal(await page.locator(".server .role", {hasText: "answers clients"}).count(), 2);
  await until("one on the target", async () => await stage.target.get("one") === "1");
  await until("two on the source", async () => await stage.source.get("two") === "2");
  assert.deepEqual(browser.troubles, []);
});

describe("the page", () => {
  let stage;
  before(async () => {
    stage = await Stage.open({keys: 500, token: "5f2b9c0e7d1a4683b5f2b9c0e7d1a468"});
    stage.work({pause: 20, applications: [["shop", 3]]}); // until the end: they outlive tandem
  });
  after(() => stage?.close());

  const login = async page => {
    await page.goto(stage.url);
    await page.locator("#token").fill(stage.token);
    await page.keyboard.press("Enter");
    await page.locator("#main").waitFor();
  };

  test("asks for the token, and shows nothing without it", async t => {
    const browser = await open();
    t.after(() => browser.close());
    const {page} = browser;
    await page.goto(stage.url);
    await page.locator("#token").fill("not the token");
    await page.keyboard.press("Enter");
    await page.locator("#login-error", {hasText: "not the token"}).waitFor();
    assert.ok(!await page.locator("#main").isVisible());
    assert.deepEqual(await serious(page), []);
    await login(page);
    await headline(page, "has not started");
    await page.reload();
    await headline(page, "has not started"); // the tab knows it still
    assert.deepEqual(browser.troubles, []);
  });

  test("says that tandem is gone, how old what it shows is, and goes on when it is back", async t => {
    const browser = await open();
    t.after(() => browser.close());
    const {page} = browser;
    await login(page);
    await stage.children.tandem.end("SIGKILL");
    await page.locator("#lost", {hasText: "does not answer"}).waitFor();
    await page.locator("#live[data-state=lost]").waitFor();
    assert.ok(await page.locator("main.stale").count());
    assert.deepEqual(await serious(page), []);
    await stage.startTandem();
    await page.locator("#live[data-state=live]").waitFor();
    await page.locator("#lost").waitFor({state: "hidden"});
    await page.locator("#panel-events li", {hasText: "ended without a word"}).waitFor();
  });

  for (const [name, shape] of Object.entries({light: {}, dark: {scheme: "dark"}, narrow: {width: 390, height: 844}, wall: {width: 2560, height: 1440, scheme: "dark"}})) {
    test(`can be used by everybody: ${name}`, async t => {
      const browser = await open(shape);
      t.after(() => browser.close());
      const {page} = browser;
      await login(page);
      await page.locator("#panel-events li").first().waitFor();
      await page.locator("#panel-report .state").waitFor();
      assert.deepEqual(await serious(page), []);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(wide, 0, "it is wider than the screen");
      await page.locator("#theme").click();
      const theme = await page.evaluate(() => document.documentElement.dataset.theme);
      assert.equal(theme, shape.scheme === "dark" ? "light" : "dark");
      assert.deepEqual(await serious(page), []);
      assert.deepEqual(browser.troubles, []);
    });
  }

  test("holds no connection while nobody looks at it", async t => {
    const browser = await open();
    t.after(() => browser.close());
    const {page} = browser;
    await login(page);
    const look = hidden => page.evaluate(to => {
      Object.defineProperty(document, "hidden", {configurable: true, get: () => to});
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
    const live = r => r.url().endsWith("/api/v1/live");
    await Promise.all([page.waitForEvent("requestfailed", live), look(true)]);
    assert.ok(!await page.locator("#lost").isVisible());
    await Promise.all([page.waitForRequest(live), look(false)]);
    const shown = await page.locator("#live-text").textContent();
    await page.locator("#live-text").filter({hasNotText: shown}).waitFor();
    assert.ok(!await page.locator("#lost").isVisible());
  });

  test("shows who comes late what was before", async t => {
    const early = await (await fetch(stage.url + "api/v1/history", {headers: {Authorization: "Bearer " + stage.token}})).json();
    assert.ok(early.rows.length >= 3);
    const browser = await open();
    t.after(() => browser.close());
    const {page} = browser;
    await login(page);
    await page.locator("#chart-commands canvas").waitFor();
    // What a screen reader is told of a chart is of the same numbers that are drawn.
    await page.locator("#chart-commands .plot[aria-label*='reads']").waitFor();
    const asked = await page.evaluate(async token => (await (await fetch("api/v1/history", {headers: {Authorization: "Bearer " + token}})).json()).rows.length, stage.token);
    assert.ok(asked >= early.rows.length);
  });
});

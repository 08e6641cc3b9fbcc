// VS Code's workbench in headless Chromium, as a user sees and handles it.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { chromium } = require('playwright-core');

const PATIENCE = 20_000;
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

/** Runs `work(page)` in a new browser, and ends the browser afterwards. */
async function withBrowser(work) {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'flash-lsp-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM, headless: true, viewport: { width: 1000, height: 620 }, args: FLAGS,
  });
  try {
    return await work(context.pages()[0] ?? await context.newPage());
  } finally {
    await context.close();
    fs.rmSync(profile, { recursive: true, force: true });
  }
}

const STATUS_ITEM = 'flash-lsp.flash-lsp.flash-lsp';

/** In the page, from its first moment: keeps what the status bar item has said and what ghost text was shown. */
function record(statusItem) {
  const textOf = (elements) => [...elements].map((element) => element.textContent).join('').replaceAll('\u00a0', ' ');
  window.flashLspGhost = () => {
    const further = new Set([...document.querySelectorAll('.ghost-text')].map((part) => part.closest('.view-line')));
    const lines = [...further].map((line) => textOf(line?.querySelectorAll('.ghost-text') ?? []));
    return [textOf(document.querySelectorAll('.ghost-text-decoration')), ...lines].join('\n');
  };
  window.flashLspStatus = [];
  window.flashLspGhosts = [];
  const keep = (list, value) => value !== undefined && value !== list.at(-1) && list.push(value);
  new MutationObserver(() => {
    keep(window.flashLspStatus, document.getElementById(statusItem)?.getAttribute('aria-label') ?? undefined);
    keep(window.flashLspGhosts, window.flashLspGhost());
  }).observe(document, { childList: true, subtree: true, attributes: true });
}

class Workbench {
  constructor(page, { port, project, shots }) {
    Object.assign(this, { page, port, project, shots });
  }

  async open() {
    this.page.setDefaultTimeout(PATIENCE);
    await this.page.addInitScript(record, STATUS_ITEM);
    await this.page.goto(`http://127.0.0.1:${this.port}/?folder=${encodeURIComponent(this.project)}`);
    await this.page.waitForSelector('.monaco-workbench .statusbar-item');
  }

  statusHistory() {
    return this.page.evaluate(() => window.flashLspStatus);
  }

  /** What the status bar item says now: its icon's name, its text and its tooltip. */
  async status() {
    return (await this.page.locator(`[id="${STATUS_ITEM}"]`).getAttribute('aria-label')) ?? '';
  }

  /** Waits until the status bar item says what matches. */
  waitForStatus(pattern) {
    return until(async () => pattern.test(await this.status()), async () => `the status is ${await this.status()}`);
  }

  async clickStatus() {
    await this.page.locator(`[id="${STATUS_ITEM}"] a`).click();
  }

  /** Writes a file of the project and opens it with the cursor at its end. */
  async edit(name, text) {
    const file = path.join(this.project, name);
    fs.writeFileSync(file, text);
    await this.press('Control+p');
    await this.choose(name, file);
    await this.page.locator('.tab.active', { hasText: name }).waitFor();
    await this.page.locator('.editor-instance .view-lines').click();
    await this.press('Control+End');
    return file;
  }

  /** Types into the list that is open, and takes its first entry once that holds `label`. */
  async choose(label, typed = label) {
    const list = this.page.locator('.quick-input-widget');
    await list.locator('input.input').fill(typed);
    await list.locator('.monaco-list-row.focused', { hasText: label }).waitFor();
    await this.press('Enter');
  }

  /** Runs a command by its title. */
  async command(title) {
    await this.press('F1');
    await this.choose(title, `>${title}`);
  }

  press(key) {
    return this.page.keyboard.press(key);
  }

  /** Types at `perSecond` keys a second, however long the browser takes for each. */
  async type(text, perSecond = 15) {
    const start = Date.now();
    for (const [i, character] of [...text].entries()) {
      await sleep(start + (i * 1000) / perSecond - Date.now());
      await this.page.keyboard.type(character);
    }
  }

  /** The ghost text, "" when there is none. */
  ghost() {
    return this.page.evaluate('flashLspGhost()');
  }

  /** Every ghost text shown since `forgetGhosts()`, in order; "" where none was shown for a while. */
  ghosts() {
    return this.page.evaluate('flashLspGhosts');
  }

  forgetGhosts() {
    return this.page.evaluate('flashLspGhosts = []');
  }

  /** Waits for ghost text that has stayed the same for half a second, and returns it. */
  async settledGhost(patience = PATIENCE) {
    await until(() => this.ghost(), () => 'no ghost text', patience);
    return settled(() => this.ghost());
  }

  /** Waits until exactly this ghost text is shown. */
  ghostIs(text) {
    const look = () => this.ghost();
    return until(async () => (await look()) === text, async () => `the ghost text is ${JSON.stringify(await look())}`);
  }

  /** Waits for a notification that says what matches, and closes it. */
  async notified(pattern) {
    const toast = this.page.locator('.notification-toast', { hasText: pattern });
    await toast.waitFor();
    await this.shoot('notification');
    await toast.hover();
    await toast.locator('.codicon-notifications-clear').click();
    await toast.waitFor({ state: 'detached' });
  }

  /** Waits until there is no ghost text. */
  noGhost() {
    return until(async () => (await this.ghost()) === '', () => 'there is ghost text');
  }

  /** Changes the machine's settings while `work` runs. */
  async withSettings(changes, work) {
    const file = path.join(this.project, '../data/Machine/settings.json');
    const before = fs.readFileSync(file, 'utf8');
    fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(before), ...changes }));
    try {
      await work();
    } finally {
      fs.writeFileSync(file, before);
    }
  }

  /** Saves, and returns the file's text once `expected` says yes to it. */
  async saved(file, expected) {
    await this.press('Control+s');
    return until(() => {
      const text = fs.readFileSync(file, 'utf8');
      return expected(text) ? text : undefined;
    }, () => `the file holds ${JSON.stringify(fs.readFileSync(file, 'utf8'))}`);
  }

  shoot(name) {
    return this.page.screenshot({ path: path.join(this.shots, `${name}.png`) });
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The first value of `look()` that is true; fails after a while with what `say()` tells. */
async function until(look, say, patience = PATIENCE) {
  for (const end = Date.now() + patience; Date.now() < end; await sleep(100)) {
    const value = await look();
    if (value) return value;
  }
  throw new Error(`waited in vain: ${await say()}`);
}

/** A value of `look()` that has not changed for half a second. */
async function settled(look) {
  let value = await look();
  for (let same = 0; same < 5; ) {
    await sleep(100);
    const next = await look();
    same = next === value ? same + 1 : 0;
    value = next;
  }
  return value;
}

module.exports = { Workbench, withBrowser, until };

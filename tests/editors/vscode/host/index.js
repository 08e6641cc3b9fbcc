// Tests inside the real extension host, with the whole API of VS Code. run() prints one line of JSON for each.

const assert = require('node:assert/strict');
const vscode = require('vscode');

const START = '"""Arithmetic."""\n\n\ndef add(a, b):\n    return a + b\n\n\ndef subtract(a, b):\n    return';
const SUGGESTED = ' a - b';

const run = vscode.commands.executeCommand;
const configuration = () => vscode.workspace.getConfiguration('flash-lsp');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Opens `text` with the cursor at its end. */
async function open(text, language = 'python') {
  const document = await vscode.workspace.openTextDocument({ language, content: text });
  const editor = await vscode.window.showTextDocument(document);
  const end = document.positionAt(text.length);
  editor.selection = new vscode.Selection(end, end);
  return document;
}

/** Asks for a suggestion and accepts what comes, `times` times at most; returns what was added. */
async function suggest(document, { times = 40, accept = 'commit' } = {}) {
  const before = document.getText();
  for (let i = 0; i < times && document.getText() === before; i++) {
    await run('editor.action.inlineSuggest.trigger');
    await sleep(150);
    await run(`editor.action.inlineSuggest.${accept}`);
  }
  return document.getText().slice(before.length);
}

const tests = {
  async 'a file without a name gets a suggestion'() {
    assert.equal(await suggest(await open(START)), SUGGESTED);
  },

  async 'a word is accepted alone'() {
    const word = await suggest(await open(START), { accept: 'acceptNextWord' });
    assert.ok(word && SUGGESTED.startsWith(word) && word !== SUGGESTED, word);
  },

  async 'lines may end in \\r\\n'() {
    assert.equal(await suggest(await open(START.replaceAll('\n', '\r\n'))), SUGGESTED);
  },

  async 'the end of a line behind letters outside the basic plane'() {
    const text = START.replace('return a + b', 'return a + b  # 𝒳 😀');
    const added = await suggest(await open(text));
    assert.ok(added.startsWith(SUGGESTED), added);
  },

  async 'nothing is suggested while paused'() {
    const document = await open(START);
    await run('flash-lsp.pause');
    assert.equal(await suggest(document, { times: 5 }), '');
    await run('flash-lsp.resume');
    assert.equal(await suggest(document), SUGGESTED);
  },

  async 'a language is turned off and on'() {
    const document = await open(START);
    await run('flash-lsp.toggleLanguage');
    assert.deepEqual(configuration().get('disabledLanguages'), ['python']);
    assert.equal(await suggest(document, { times: 5 }), '');
    await run('flash-lsp.toggleLanguage');
    assert.deepEqual(configuration().get('disabledLanguages'), []);
    assert.equal(await suggest(document), SUGGESTED);
  },

  async 'a restart keeps the open documents'() {
    const document = await open(START);
    await run('flash-lsp.restart');
    assert.equal(await suggest(document), SUGGESTED);
  },

  async 'statistics open as a document'() {
    await run('flash-lsp.showStatistics');
    assert.match(vscode.window.activeTextEditor.document.getText(), /^requests: \d+/m);
  },

  async 'the doctor opens as a document'() {
    await run('flash-lsp.doctor');
    assert.match(vscode.window.activeTextEditor.document.getText(), /flash-coder/);
  },

  async 'every command of the palette exists'() {
    const { contributes } = vscode.extensions.getExtension('flash-lsp.flash-lsp').packageJSON;
    const known = await vscode.commands.getCommands(true);
    for (const { command } of contributes.commands) assert.ok(known.includes(command), command);
  },
};

exports.run = async () => {
  await vscode.extensions.getExtension('flash-lsp.flash-lsp').activate();
  let failed = 0;
  for (const [name, test] of Object.entries(tests)) {
    let error = null;
    try {
      await test();
    } catch (thrown) {
      error = thrown.stack;
      failed += 1;
    }
    console.log(JSON.stringify({ name, error }));
  }
  if (failed) throw new Error(`${failed} failed`);
};

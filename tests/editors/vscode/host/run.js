// node run.js EXTENSION: runs host/index.js inside the extension host of VS Code, with the extension in the folder EXTENSION.
// Environment: PORT, PROJECT, CHROMIUM. Prints what the tests print; ends with their exit code.

const path = require('node:path');
const { withBrowser } = require('../ui/workbench');

/** The built workbench takes the tests' place from its address only with this switch, which code-server has no flag for. */
function allowTests() {
  new MutationObserver((_, observer) => {
    const element = document.getElementById('vscode-workbench-web-configuration');
    if (!element) return;
    observer.disconnect();
    const configuration = JSON.parse(element.getAttribute('data-settings'));
    configuration.developmentOptions = { ...configuration.developmentOptions, enableSmokeTestDriver: true };
    element.setAttribute('data-settings', JSON.stringify(configuration));
  }).observe(document, { childList: true, subtree: true });
}

withBrowser(async (page) => {
  const { PORT, PROJECT } = process.env;
  const ended = new Promise((resolve) => page.exposeFunction('codeAutomationExit', resolve));
  await page.exposeFunction('codeAutomationLog', (type, args) => console.log(...args));
  await page.addInitScript(allowTests);
  const remote = `vscode-remote://127.0.0.1:${PORT}`;
  const payload = [
    ['extensionDevelopmentPath', remote + path.resolve(process.argv[2])],
    ['extensionTestsPath', remote + path.join(__dirname, 'index.js')],
    ['skipWelcome', 'true'],
  ];
  const query = new URLSearchParams({ folder: PROJECT, payload: JSON.stringify(payload) });
  await page.goto(`http://127.0.0.1:${PORT}/?${query}`);
  process.exitCode = await ended;
}).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

// node run.js SCENARIOS: runs every scenario of a file in one workbench; prints one line of JSON for each.
// Environment: PORT, PROJECT (folder), SHOTS (folder for screenshots), CHROMIUM (program), and what the scenarios ask for.

const path = require('node:path');
const { Workbench, withBrowser } = require('./workbench');

const { PORT, PROJECT, SHOTS } = process.env;
const scenarios = require(path.resolve(process.argv[2]));

withBrowser(async (page) => {
  const workbench = new Workbench(page, { port: PORT, project: PROJECT, shots: SHOTS });
  await workbench.open();
  for (const [name, run] of Object.entries(scenarios)) {
    const start = Date.now();
    let error = null;
    try {
      await run(workbench);
    } catch (thrown) {
      error = `${thrown.stack}\nstatus: ${await workbench.status().catch(String)}`;
      await workbench.shoot(`failed ${name}`);
    }
    console.log(JSON.stringify({ name, error, seconds: (Date.now() - start) / 1000 }));
  }
}).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

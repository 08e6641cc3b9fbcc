/** flash-lsp for VS Code: puts the parts together. */

import { accessSync, constants, statSync } from "node:fs";
import { homedir } from "node:os";
import * as path from "node:path";
import * as vscode from "vscode";
import { wanted } from "./askAgain";
import { chooseMinutes, chooseModel, isOff, toggleLanguage } from "./choices";
import { findServer, type Program } from "./discovery";
import { Environment } from "./environment";
import { showMenu } from "./menu";
import { Pause } from "./pause";
import { Reports } from "./reports";
import { Server } from "./server";
import { SetUp } from "./setUp";
import * as settings from "./settings";
import type { State, Status } from "./status";
import { StatusBar } from "./statusBar";

const RUNNING: readonly State[] = ["ready", "thinking", "silent", "off"];

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const output = vscode.window.createOutputChannel("flash-lsp", { log: true });
  const trace = vscode.window.createOutputChannel("flash-lsp trace", { log: true });
  const environment = new Environment(
    path.join(context.extensionPath, "wheels"),
    path.join(context.globalStorageUri.fsPath, "server"),
  );
  const pause = new Pause();
  const server = new Server(() => find(environment), () => pause.active, { output, trace });
  const setUp = new SetUp(environment, server);
  const reports = new Reports(server);
  const bar = new StatusBar([() => pause.status, () => offHere(server.status), () => server.status]);
  context.subscriptions.push(output, trace, pause, reports, bar, server);

  const on = (command: string, run: () => unknown): void => {
    context.subscriptions.push(vscode.commands.registerCommand(`flash-lsp.${command}`, run));
  };
  on("showMenu", () => {
    const language = vscode.window.activeTextEditor?.document.languageId;
    const languageIsOff = isOff(language);
    return showMenu({ status: bar.status, paused: pause.active, language, languageIsOff, offered: server.commands });
  });
  on("setUp", () => setUp.run());
  on("chooseServer", () => setUp.choose());
  on("chooseModel", chooseModel);
  on("pause", () => pause.pause());
  on("resume", () => pause.resume());
  on("snooze", async () => {
    const minutes = await chooseMinutes();
    if (minutes !== undefined) pause.snooze(minutes);
  });
  on("toggleLanguage", async () => {
    const language = vscode.window.activeTextEditor?.document.languageId;
    if (language) await toggleLanguage(language);
  });
  on("restart", () => server.restart());
  on("showOutput", () => output.show());
  on("showStatistics", () => reports.statistics());
  on("doctor", () => reports.doctor());
  on("explainSilence", () => reports.silence());
  on("clearCaches", () => reports.clearCaches());
  on("openSettings", () => vscode.commands.executeCommand("workbench.action.openSettings", "@ext:flash-lsp.flash-lsp"));

  context.subscriptions.push(
    pause.onDidChange(() => {
      bar.render();
      return server.sendSettings();
    }),
    server.onDidChange((status) => {
      bar.render();
      void vscode.commands.executeCommand("setContext", "flash-lsp.running", RUNNING.includes(status.state));
      if (status.state === "missing") void setUp.offer(status.message);
    }),
    vscode.window.onDidChangeActiveTextEditor(() => bar.render()),
    vscode.workspace.onDidGrantWorkspaceTrust(() => server.restart()),
    vscode.workspace.onDidChangeConfiguration((change) => {
      bar.render();
      return settings.needsRestart(change) ? server.restart() : undefined;
    }),
  );
  await setUp.update();
  await server.restart();
}

/** Why suggestions are off in the active editor although the server is fine. */
function offHere({ state }: Status): Status | undefined {
  const document = vscode.window.activeTextEditor?.document;
  if (!document || !RUNNING.includes(state)) return undefined;
  if (!settings.get("enabled", true)) return { state: "off", reason: "The setting flash-lsp.enabled is off." };
  if (isOff(document.languageId)) return { state: "off", reason: `Off for ${document.languageId}.` };
  if (!wanted(document)) return { state: "off", reason: "The setting editor.inlineSuggest.enabled is off." };
  return undefined;
}

function find(environment: Environment): Program | undefined {
  const folders = vscode.workspace.isTrusted ? (vscode.workspace.workspaceFolders ?? []) : [];
  return findServer({
    platform: process.platform,
    home: homedir(),
    searchPath: process.env.PATH ?? "",
    serverCommand: settings.get<string[]>("serverCommand", []),
    folders: folders.map((folder) => folder.uri.fsPath),
    ownPython: environment.python,
    isProgram,
  });
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** Statistics and doctor: texts about the server, shown read-only. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import * as vscode from "vscode";
import type { Server } from "./server";

const SCHEME = "flash-lsp-report";
const STATS = "flash-lsp.stats";

export class Reports implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly texts = new Map<string, string>();
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;
  private readonly registration = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);

  constructor(private readonly server: Server) {}

  get offersStatistics(): boolean {
    return this.server.commands.includes(STATS);
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.path) ?? "";
  }

  async statistics(): Promise<void> {
    if (!this.offersStatistics) {
      void vscode.window.showInformationMessage("The flash-lsp server that runs offers no statistics.");
      return;
    }
    await this.show("flash-lsp statistics", `${asLines(await this.server.execute(STATS)).join("\n")}\n`);
  }

  async doctor(): Promise<void> {
    const program = this.server.program;
    if (!program) {
      await vscode.commands.executeCommand("flash-lsp.setUp");
      return;
    }
    const options = { location: vscode.ProgressLocation.Notification, title: "flash-lsp doctor …" };
    const text = await vscode.window.withProgress(options, async () => {
      const environment = { ...process.env, PYTHONSAFEPATH: "1", NO_COLOR: "1" };
      try {
        const { stdout, stderr } = await promisify(execFile)(program.command, [...program.args, "doctor"], { env: environment });
        return stdout + stderr;
      } catch (error) {
        const { stdout = "", stderr = "", message = "" } = error as { stdout?: string; stderr?: string; message?: string };
        return stdout + stderr || message;
      }
    });
    await this.show("flash-lsp doctor", text);
  }

  private async show(title: string, text: string): Promise<void> {
    const uri = vscode.Uri.from({ scheme: SCHEME, path: title });
    this.texts.set(title, text);
    this.changed.fire(uri);
    await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(uri), { preview: true });
  }

  dispose(): void {
    this.registration.dispose();
    this.changed.dispose();
  }
}

/** A JSON value as indented lines of "name: value". */
export function asLines(value: unknown, indent = ""): string[] {
  if (value === null || typeof value !== "object") return [`${indent}${value}`];
  return Object.entries(value).flatMap(([name, inner]) => {
    const label = `${indent}${name.replaceAll("_", " ")}`;
    return inner !== null && typeof inner === "object" ? [label, ...asLines(inner, `${indent}  `)] : [`${label}: ${inner}`];
  });
}

/** Statistics, doctor, and why nothing was suggested: what there is to know about the server. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import * as vscode from "vscode";
import type { Server } from "./server";

const SCHEME = "flash-lsp-report";

/** Commands that a server may offer. */
export const STATS = "flash-lsp.stats";
export const EXPLAIN = "flash-lsp.explainLastSilence";
export const CLEAR_CACHES = "flash-lsp.clearCaches";

interface Explanation {
  reason: string;
  message: string;
}

export class Reports implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly texts = new Map<string, string>();
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;
  private readonly registration = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);

  constructor(private readonly server: Server) {}

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.path) ?? "";
  }

  async statistics(): Promise<void> {
    const counts = await this.ask(STATS);
    if (counts) await this.show("flash-lsp statistics", `${asLines(counts).join("\n")}\n`);
  }

  async silence(): Promise<void> {
    const last = (await this.ask(EXPLAIN)) as Explanation | null | undefined;
    if (last === undefined) return;
    const text = last ? `nothing was suggested: ${last.message} (${last.reason})` : "every request so far was answered with a suggestion";
    void vscode.window.showInformationMessage(`flash-lsp: ${text}.`);
  }

  async clearCaches(): Promise<void> {
    if ((await this.ask(CLEAR_CACHES)) !== undefined) vscode.window.setStatusBarMessage("flash-lsp: caches cleared", 4000);
  }

  /** The server's answer to one of its commands; undefined, and the user is told, if it does not offer that. */
  private async ask(command: string): Promise<unknown> {
    if (this.server.commands.includes(command)) return (await this.server.execute(command)) ?? null;
    void vscode.window.showInformationMessage(`The flash-lsp server that runs does not offer ${command}.`);
    return undefined;
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

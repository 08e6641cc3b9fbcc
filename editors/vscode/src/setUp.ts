/** Setting up the server with the user's consent, and the explanation when there is none. */

import * as vscode from "vscode";
import type { Environment } from "./environment";
import type { Server } from "./server";
import * as settings from "./settings";

const NOT_FOUND =
  "There is none in the workspace's .venv and none on PATH. Install one with pip, or install the full package of this extension.";

export class SetUp {
  /** Whether the user has been asked; a failed installation says so by itself. */
  private offered = false;

  constructor(
    private readonly environment: Environment,
    private readonly server: Server,
  ) {}

  /** Says, once a session, that there is no server, and offers what helps. `why`: what is wrong with the one that is set. */
  async offer(why?: string): Promise<void> {
    if (this.offered) return;
    this.offered = true;
    if (why || !this.environment.bundled) return this.explain(why);
    const answer = await vscode.window.showInformationMessage(
      "flash-lsp completes code with a small model on this machine. Set it up now? It takes about 250 MB in the extension's storage and no network.",
      "Set up",
      "Choose an installed server…",
    );
    if (answer === "Set up") await this.install();
    else if (answer) await this.choose();
  }

  /** The command: what `offer` does, without the question. */
  async run(): Promise<void> {
    return this.environment.bundled ? this.install() : this.explain();
  }

  /** Makes the environment anew if the extension came with another server. */
  async update(): Promise<void> {
    if (await this.environment.outdated()) await this.install();
  }

  /** Lets the user point to the program. */
  async choose(): Promise<void> {
    const [file] = (await vscode.window.showOpenDialog({ title: "The program flash-lsp", openLabel: "Use this program" })) ?? [];
    if (file) await settings.set("serverCommand", [file.fsPath]);
  }

  private async explain(why = NOT_FOUND): Promise<void> {
    const answer = await vscode.window.showWarningMessage(
      `flash-lsp found no server. ${why}`,
      "Choose an installed server…",
      "Look again",
      "Help",
    );
    if (answer === "Look again") await this.server.restart();
    else if (answer === "Help") await vscode.commands.executeCommand("workbench.action.openWalkthrough", "flash-lsp.flash-lsp#start");
    else if (answer) await this.choose();
  }

  private async install(): Promise<void> {
    const options = { location: vscode.ProgressLocation.Notification, title: "flash-lsp", cancellable: true };
    try {
      await vscode.window.withProgress(options, async (progress, token) => {
        const abort = new AbortController();
        token.onCancellationRequested(() => abort.abort());
        let done = 0;
        const report = (message: string, percent: number): void => {
          progress.report({ message, increment: percent - done });
          done = percent;
          this.server.status = { state: "installing", percent, message };
        };
        await this.environment.create({ report }, abort.signal);
        await this.server.restart();
      });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.server.status = { state: "missing", message };
      const answer = await vscode.window.showErrorMessage(`flash-lsp was not set up: ${message}`, "Try again");
      if (answer) await this.install();
    }
  }
}
